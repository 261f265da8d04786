"""Versions that must not serve, each bad in its own way."""

from dataclasses import dataclass
from pathlib import Path

from tests.support.served_project import Edit, changed, unchanged

#: What a trial may hold: more than a tiny model and its processes, less than any test machine.
MEMORY_GB = 2.5
#: What the catalogue allows a median answer; a single one may take three times as long.
LATENCY_MS = 1_500

LOADING = """\
class Changed(OnnxGenaiModel):
    def load_context(self, context):
        import time

        {code}
"""
ANSWERING = """\
class Changed(OnnxGenaiModel):
    def stream(self, prompt, **sampling):
        import signal, time

        for piece in super().stream(prompt, **sampling):
            {code}
"""


@dataclass(frozen=True)
class Bad:
    """A kind of bad candidate.

    Attributes:
        kind: Its name.
        edit: Makes it of a good one.
        words: Part of the reason for which it is quarantined.
        tags: What its registration lacks.
        spoil: What happens to its files after they were registered.
        load_seconds: How long its trial may take until it is ready.
    """

    kind: str
    edit: Edit
    words: str
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


def _loading(code: str) -> Edit:
    return changed(LOADING.replace("{code}", code))


def _answering(code: str) -> Edit:
    return changed(ANSWERING.replace("{code}", code))


HUNGRY = "hold = [bytearray(b'x' * 100_000_000) for _ in range(200) if not time.sleep(0.1)]"

#: Made when it is loaded in its trial, so that the worker that is to serve does not load.
ONCE = "os.mkdir(context.artifacts['model'] + '.loaded'); super().load_context(context)"

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
