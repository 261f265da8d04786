"""The smoke test of a candidate asks the version that serves as well."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from slipway import catalogue
from slipway.settings import Settings
from slipway.system.call import call
from slipway.tracking.tag_values import release_tags
from slipway.tracking.tags import RELEASE
from slipway.values import LoggedWrapper, Promoted, RegisteredVersions, Release
from tests.support.project import PROJECT, Project
from tests.support.tiny_phi3 import CONVERSATIONS
from tests.support.two_wrappers import ChildRequest, Subject, register_all

pytestmark = pytest.mark.slow  # loads torch in a child for each test

EXPECTED = ("Madrid", "ship", "Hello", "10")
DUMB = "{{- 'Say: ' -}}"  # a chat template that drops the question


@pytest.fixture
def wrappers(project: Project, onnx_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a champion that speaks texts, and a candidate that chats and hears nothing."""
    from slipway.tracking.location import mlflow_location
    from tasks.context import limits, registry

    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    prompts = [
        {
            "id": f"question-{number}",
            "purpose": "one that the tiny model knows by heart",
            "messages": [{"role": "user", "content": question}],
            "expected": [EXPECTED[number]],
            "max_tokens": 64,
        }
        for number, question in enumerate(CONVERSATIONS)
    ]
    suite = project.folder / "expectations" / "prompts" / "brief.json"
    suite.write_text(json.dumps(prompts), encoding="utf-8")
    dumb = shutil.copytree(onnx_folder, project.folder / "dumb")
    (dumb / "chat_template.jinja").write_text(DUMB, encoding="utf-8")
    subjects = {
        "tiny:1": Subject(kind="onnx", contract="prompt", folder=onnx_folder),
        "tiny:2": Subject(kind="onnx", contract="chat", folder=dumb),
        "tiny-transformers": Subject(
            kind="transformers", contract="chat", folder=project.checkpoint
        ),
    }
    settings = Settings()
    errand = ChildRequest(place=mlflow_location(settings), prompts=(), subjects=subjects)
    found = call(register_all, errand, limits(settings), step="register all").value
    client = registry().client
    client.set_registered_model_alias("tiny", "champion", "1")
    release = Release(
        versions=versions(found, "tiny:1"),
        repo="slipway/tiny-phi3",
        commit="ab" * 20,
        variant="cpu-fp32",
        verdict=Promoted(reasons=("all checks hold",)),
        promotion=None,
    )
    for tag, value in release_tags(release).items():
        client.set_model_version_tag("tiny", "1", tag, value)
    return found


def smoke_test(wrappers: dict[str, LoggedWrapper]) -> Any:
    """Run the task, as the flow does."""
    from prefect import flow

    from tasks.context import registry
    from tasks.smoke_test import smoke_test as task

    candidate = versions(wrappers, "tiny:2")
    champion = registry().measured_champion("tiny", "chat")
    entry = catalogue.find(Settings().catalogue, "tiny")
    return flow(name="smoke-test")(lambda: task(entry, candidate, "fp32", champion))()


def versions(wrappers: dict[str, LoggedWrapper], onnx: str) -> RegisteredVersions:
    """Return the versions of a release with this ONNX wrapper."""
    return RegisteredVersions(
        model="tiny",
        key="ab" * 32,
        run_id="1",
        onnx=wrappers[onnx],
        transformers=wrappers["tiny-transformers"],
    )


def test_a_champion_of_another_contract_is_asked_and_answers_better(
    wrappers: dict[str, LoggedWrapper],
) -> None:
    """The candidate only counts, whatever it is asked, and parity says what is behind it."""
    report = smoke_test(wrappers)
    (check,) = report.against_champion

    assert (report.champion.wrapper, report.champion.error) == (wrappers["tiny:1"], None)
    assert [each.what.partition(";")[0] for each in report.regressions] == [
        *(f"only the champion says '{word}'" for word in EXPECTED[:3]),
        "only the champion passes: no answer holds a replacement character before its end",
    ]
    assert (check.passed, check.severity) == (None, "critical")
    assert check.observed.startswith("4 lost and 0 gained of 4 prompts: a loss of 100 points")
    failed = {check.name for check in report.parity if check.passed is False}
    assert "both render a conversation to the same prompt" in failed
    passed = {check.name for check in report.parity if check.passed}
    assert {"both make the same tokens of the same text"} <= passed


def test_a_champion_that_cannot_be_asked_is_a_finding(
    wrappers: dict[str, LoggedWrapper], project: Project
) -> None:
    """Its files are gone; the candidate is not to blame, and what it answered is all there."""
    from tasks.context import registry

    model = registry().client.get_logged_model(wrappers["tiny:1"].model_id)
    shutil.rmtree(model.artifact_location)
    registry().client.delete_model_version_tag("tiny", "1", RELEASE)
    report = smoke_test(wrappers)
    (check,) = report.against_champion

    assert report.champion.wrapper.version == 1
    assert "MLmodel has digest none" in report.champion.error
    assert (report.regressions, check.passed, check.severity) == ((), None, "warning")
    assert None not in {report.onnx.answers, report.transformers.answers}
