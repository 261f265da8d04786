"""The scenario's own model, end to end, through a Hub on this machine.

The repositories have the names, files and folders that Microsoft publishes, and tiny contents.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from commands.main import run
from flows.release_model import release_model
from slipway.errors import TargetUnavailable
from tests.support.hub import LocalHub
from tests.support.phi3_repositories import ONNX, VARIANT, WEIGHTS, lay_out_onnx, lay_out_weights
from tests.support.project import Project

pytestmark = pytest.mark.slow

QUESTION = [{"role": "user", "content": "What is the capital of Spain?"}]
MARKUP = (
    "<|system|>\nYou are a guide.<|end|>\n"
    "<|user|>\nWhat is the capital of Spain?<|end|>\n"
    "<|assistant|>\n"
)

ENTRY = """\
[models.phi-3-mini-4k]
title = "Phi-3 mini 4k Instruct"
source = {{ kind = "hub", repo = "{weights}", endpoint = "{endpoint}" }}
recipe = {{ kind = "select", repo = "{onnx}", precision = "int4", endpoint = "{endpoint}" }}
wrappers = {{ onnx = "{contract}" }}
suite = "brief"
gates = {{ size_bytes = {{}} }}
licenses = ["mit"]
"""


@pytest.fixture(scope="module")
def endpoint(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve both repositories, and give the Hub's address."""
    folder = tmp_path_factory.mktemp("hub")
    hub = LocalHub(folder / "hub")
    hub.push(WEIGHTS, lay_out_weights(checkpoint, folder / "weights"))
    hub.push(ONNX, lay_out_onnx(checkpoint, folder / "onnx"))
    with hub.serve() as running:
        yield running.endpoint


@pytest.mark.parametrize("contract", ["prompt", "chat"])
def test_phi_3_is_released_from_the_hub(project: Project, endpoint: str, contract: str) -> None:
    """Weights for the reference, the published int4 artifact for what serves; in both contracts."""
    facts = {"weights": WEIGHTS, "onnx": ONNX, "endpoint": endpoint, "contract": contract}
    project.catalogue.write_text(ENTRY.format(**facts), encoding="utf-8")

    outcome = release_model("phi-3-mini-4k")

    assert outcome.verdict.kind == "promoted", outcome.verdict.reasons
    assert outcome.variant == VARIANT.rpartition("/")[2]
    assert project.registry().aliases("phi-3-mini-4k") == {"candidate": 1, "champion": 1}
    _ask_both(contract)
    stored = {path.name for path in (project.home / "store").rglob("*") if path.is_file()}
    assert {name for name in stored if name.endswith(".py")} == set()


def test_a_device_that_is_not_here_needs_the_entrys_word(
    project: Project, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Plan and release refuse it with the way out; accepted, it is a candidate like any other."""
    facts = {"weights": WEIGHTS, "onnx": ONNX, "endpoint": endpoint, "contract": "chat"}
    several = 'candidates = [{ target = "cuda", precision = "int4" }, { precision = "int4" }]'
    table = ENTRY.format(**facts).replace('precision = "int4"', several)
    project.catalogue.write_text(table, encoding="utf-8")

    assert run(["plan", "phi-3-mini-4k"]) == 2
    assert 'unmeasured = "accept"' in capsys.readouterr().err
    with pytest.raises(TargetUnavailable):
        release_model("phi-3-mini-4k")
    assert not [*(project.home / "store").glob("weights-*")]

    project.catalogue.write_text(f'{table}unmeasured = "accept"\n', encoding="utf-8")
    assert run(["plan", "phi-3-mini-4k"]) == 0
    assert "not measured" in capsys.readouterr().out
    outcome = release_model("phi-3-mini-4k")

    assert outcome.variant == "cuda-int4-rtn-block-32"
    assert outcome.verdict.kind == "promoted", outcome.verdict.reasons
    assert any("not measured, as the entry accepts" in each for each in outcome.verdict.reasons)


def _ask_both(contract: str) -> None:
    import mlflow

    onnx = mlflow.pyfunc.load_model("models:/phi-3-mini-4k@champion")
    reference = mlflow.pyfunc.load_model("models:/phi-3-mini-4k-transformers@champion")
    expected = reference.predict({"messages": QUESTION, "max_tokens": 20})[0]["choices"][0]
    assert expected["message"]["content"] == "The capital of Spain is Madrid."
    if contract == "chat":
        answer = onnx.predict({"messages": QUESTION, "max_tokens": 20, "temperature": 0.0})
        assert answer[0]["choices"][0]["message"] == expected["message"]
        return
    assert onnx.predict({"prompt": QUESTION[0]["content"]}) == [expected["message"]["content"]]
    python = onnx.unwrap_python_model()
    conversation = [{"role": "system", "content": "You are a guide."}, *QUESTION]
    assert python.render(conversation) == MARKUP
    assert isinstance(onnx.predict({"prompt": MARKUP})[0], str)


def test_a_reference_to_a_commit_is_released_as_it_was(project: Project, checkpoint: Path) -> None:
    """A ref may be a commit: what is pushed later changes nothing."""
    hub = LocalHub(project.folder / "hub")
    first = hub.push("slipway/tiny-phi3", checkpoint)
    with hub.serve() as running:
        pinned = f'repo = "slipway/tiny-phi3", ref = "{first}"'
        project.follow(f'{pinned}, endpoint = "{running.endpoint}"')
        hub.push("slipway/tiny-phi3", {"README.md": b"---\nlicense: mit\n---\nempty"})

        outcome = release_model("tiny")

    assert outcome.commit == first
    assert outcome.verdict.kind == "promoted"
