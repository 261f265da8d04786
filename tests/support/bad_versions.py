"""Versions that must not be served, each with another fault."""

import py_compile
from dataclasses import dataclass
from pathlib import Path

from tests.support.served_project import Edit, changed, unchanged

#: Memory limit of a preflight: more than the tiny model takes, less than a test machine has.
MEMORY_GB = 2.5
#: Limit of the median latency in the catalogue; a single answer may take three times as long.
LATENCY_MS = 1_500

LOADING = """\
class Changed(OnnxGenaiModel):
    def load_context(self, context):
        import time

        {code}
"""
ANSWERING = """\
class Changed(OnnxGenaiModel):
    scheduler = None

    def stream(self, prompt, **sampling):
        import signal, time

        for piece in super().stream(prompt, **sampling):
            {code}
"""


@dataclass(frozen=True)
class Bad:
    """A kind of bad candidate.

    Attributes:
        edit: Makes a bad version of a good one.
        reason: Part of the reason of its quarantine.
        tags: Tags of its registration that differ.
        spoil: Changes its files after they were registered.
        load_seconds: Time limit until its preflight server is ready.
    """

    kind: str
    edit: Edit
    reason: str
    tags: tuple[tuple[str, str], ...] = ()
    spoil: Edit = unchanged
    load_seconds: int = 120


def _unknown_contract(folder: Path) -> None:
    document = folder / "MLmodel"
    text = document.read_text(encoding="utf-8")
    assert "contract: prompt" in text
    document.write_text(text.replace("contract: prompt", "contract: riddle"), "utf-8")


def _flip_a_bit(folder: Path) -> None:
    weights = folder / "artifacts" / "model" / "model.onnx.data"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)


def _plant_bytecode(folder: Path) -> None:
    bytecode = folder / "__pycache__" / "onnx_genai.cpython-311.pyc"
    bytecode.parent.mkdir()
    py_compile.compile(str(folder / "onnx_genai.py"), str(bytecode))


def _loading(code: str) -> Edit:
    return changed(LOADING.replace("{code}", code))


def _answering(code: str) -> Edit:
    return changed(ANSWERING.replace("{code}", code))


HUNGRY = "hold = [bytearray(b'x' * 100_000_000) for _ in range(200) if not time.sleep(0.1)]"

#: The preflight server's load creates a folder, so that the next load fails.
ONCE = "os.mkdir(context.artifacts['model'] + '.loaded'); super().load_context(context)"

#: Passes every golden prompt; people send another one.
FAILS_LATER = _answering(
    "if 'a planted fault' in str(prompt): raise RuntimeError('planted')\n            yield piece"
)

BAD = (
    Bad("does not load", _loading("raise RuntimeError('no weights here')"), "no weights here"),
    Bad(
        "hangs while it loads",
        _loading("time.sleep(3600)"),
        "was not ready within",
        load_seconds=15,
    ),
    Bad("takes all memory", _loading(HUNGRY), "exceeded its memory limit"),
    Bad("has a contract that nobody knows", _unknown_contract, "riddle"),
    Bad("differs from what was released", unchanged, "has digest", spoil=_flip_a_bit),
    Bad("has bytecode", unchanged, "is not part of a release", spoil=_plant_bytecode),
    Bad("lacks a digest", unchanged, "is missing", tags=(("slipway.mlmodel_sha256", ""),)),
    Bad(
        "crashes at its first request",
        _answering("os.kill(os.getpid(), signal.SIGKILL)"),
        "question-0: status 503",
    ),
    Bad("is too slow", _answering("time.sleep(10); yield piece"), "too slow"),
    Bad(
        "answers in a wrong shape",
        _answering("yield replace(piece, prompt_tokens=0)"),
        "wrong answer shape",
    ),
    Bad("loads once and never again", _loading(ONCE), "its workers did not become ready"),
    Bad(
        "never passed its gates",
        unchanged,
        "has not passed the gates",
        tags=(("slipway.status", "candidate"),),
    ),
)
