"""A release with a pair of keys: signed, verified wherever it is used, and refused once changed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from commands.main import run
from slipway.settings import Settings
from slipway.tracking.verification import examine
from slipway.values import Release
from tests.support.project import Project

Said = pytest.CaptureFixture[str]


def parsed(capsys: Said) -> Any:
    """Return what was printed, as the JSON document that it must be."""
    return json.loads(capsys.readouterr().out)


def files(project: Project) -> list[Path]:
    """Return every file of both logged models."""
    models = project.home / "mlflow" / "artifacts" / "tiny" / "models"
    return [path for path in sorted(models.rglob("*")) if path.is_file()]


def test_a_record_is_inside_both_logged_models(
    released: tuple[Project, Release], capsys: Said
) -> None:
    """It is there without a key as well: what was tested, how it ended, who started it."""
    _, outcome = released

    assert run(["verify", "tiny", "--json"]) == 0

    for found in parsed(capsys):
        record = found["record"]
        assert (found["fault"], found["signature"]) == (None, "none")
        assert record["key"] == outcome.versions.key
        assert record["verdict"]["kind"] == "promoted"
        assert {gate["metric"] for gate in record["gates"]} >= {"kl_mean", "answered_prompts"}
        assert record["source"]["commit"] == outcome.commit
        assert {"wrapper", "prompts", "texts", "onnx", "transformers"} <= {*record["tested_with"]}
        assert "@" in record["started"]["actor"]
        assert "/runs/flow-run/" in record["prefect_run"]
        assert record["mlflow_run"] == outcome.versions.run_id


def test_a_model_that_was_not_released_has_nothing_to_verify(
    released: tuple[Project, Release], capsys: Said
) -> None:
    """Neither a version nor a champion; the exit code says that the input has to change."""
    assert run(["verify", "tiny", "7"]) == 2
    assert "tiny v7 was not found" in capsys.readouterr().err


def test_a_signed_release_is_verified_and_a_changed_one_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: Said, tmp_path: Path
) -> None:
    """From the smoke test to an answer and an image; then a bit of each file flips in turn."""
    from flows.reconcile import reconcile
    from flows.release_model import release_model

    assert run(["keys", "init"]) == 0
    monkeypatch.setenv("SLIPWAY_VERIFY_KEY", str(Settings().own_signing_keys[1]))

    assert release_model("tiny", reason="a first one").verdict.kind == "promoted"

    capsys.readouterr()
    assert run(["verify", "tiny", "1"]) == 0
    assert capsys.readouterr().out.count("valid, signed by") == 2
    assert run(["verify", "tiny", "--json"]) == 0
    found = parsed(capsys)
    assert [each["signature"] for each in found] == ["valid", "valid"]
    assert found[0]["record"]["started"]["reason"] == "a first one"
    assert sum(each["files"] for each in found) == len(files(project))
    assert run(["predict", "tiny", "What is the capital of Japan?"]) == 0

    assert run(["export", "tiny", "--oci", str(tmp_path / "image")]) == 0

    client, reference = project.registry().client, "tiny-transformers"
    source = client.get_model_version(reference, "1").source
    copied = client.create_model_version(reference, source).version
    client.set_registered_model_alias(reference, "champion", copied)
    reconcile()
    assert project.registry().champion(reference) == 1

    requests = project.registry().copies_of("tiny", 1)
    accepted = []
    for path in files(project):
        content = path.read_bytes()
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        if not any(examine(request).fault for request in requests):
            accepted.append(path)
        path.write_bytes(content)
    assert accepted == []

    code = next(path for path in files(project) if path.name == "onnx_genai.py")
    code.with_name("notes.txt").write_text("x", encoding="utf-8")
    assert run(["verify", "tiny"]) == 1
    assert "REFUSED: notes.txt is not part of a release" in capsys.readouterr().out
    code.with_name("notes.txt").unlink()
    code.with_name("conda.yaml").write_text("name: another\n", encoding="utf-8")
    shutil.rmtree(project.home / "copies")
    assert run(["predict", "tiny", "What is the capital of Japan?"]) == 1
    assert "tiny v1: its signature is not valid" in capsys.readouterr().err
    capsys.readouterr()
    assert run(["export", "tiny", "--oci", str(tmp_path / "changed")]) == 1
    assert "tiny v1: its signature is not valid" in capsys.readouterr().err
