"""What an earlier version of Slipway wrote is read by this one: tags of format 1, old manifests."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import mlflow
import pytest

from commands.main import run
from slipway import keys
from slipway.checks.load import load
from slipway.errors import RegistryConflict, VersionRefused
from slipway.libraries import toolchain
from slipway.registry import Registry, open_registry
from slipway.settings import Settings
from slipway.tracking import format_1, last_seen, read_run
from slipway.tracking.location import connect, mlflow_location
from slipway.tracking.tag_values import Outcome, ReleaseOrigin, VersionTags
from slipway.tracking.tags import LAST_SEEN
from slipway.tracking.verified_copy import CopyRequest, fetch
from slipway.values import AuditInfo, Promoted, Revision
from tests.support import recorded_registry

ANN = AuditInfo(actor="ann@vm", reason="it is rude")
QUESTION, ANSWER = "What is the capital of Spain?", "The capital of Spain is Madrid."

Printed = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the recording, to read and to copy."""
    folder = tmp_path_factory.mktemp("recorded")
    recorded_registry.unpack(folder)
    return folder


@pytest.fixture
def recorded(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Return the recorded registry; such a test only reads."""
    recorded_registry.point_to(unpacked, monkeypatch)
    return open_registry(Settings())


@pytest.fixture
def changeable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Return a recorded registry of the test's own."""
    recorded_registry.unpack(tmp_path)
    recorded_registry.point_to(tmp_path, monkeypatch)
    return open_registry(Settings())


def printed(capsys: Printed, *arguments: str) -> object:
    """Return what a command prints as JSON."""
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_nothing_names_the_folder_of_the_recording(unpacked: Path) -> None:
    """Every placeholder is replaced, so that the tests read what they unpacked."""
    for path in (each for each in unpacked.rglob("*") if each.is_file()):
        content = path.read_bytes()
        assert b"/tmp/recorded-home" not in content, path
        assert b"@ROOT@" not in content, path
        assert b"@HOST@" not in content, path


def test_the_command_line_shows_the_status(recorded: Registry) -> None:
    """The real one, in a process of its own: champion, source and what the aliases name."""
    program = "import commands.main as m; m.main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "status", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=dict(os.environ),
    )

    found = {row["model"]: row for row in json.loads(done.stdout)}
    assert found["tiny"].pop("last_release")["verdict"] == "rejected"
    assert found["tiny"] == {
        "model": "tiny",
        "commit": recorded.tags("tiny", 3)["slipway.commit"],
        "variant": "cpu-fp32",
        "champion": 3,
        "reference": 3,
        "previous": 1,
        "candidate": 3,
        "fault": None,
    }
    manual = found["tiny-manual"]
    assert (manual["champion"], manual["previous"], manual["candidate"]) == (1, None, 2)


def test_the_history_tells_who_and_why(recorded: Registry, capsys: Printed) -> None:
    """Promoted, promoted, rolled back, promoted."""
    periods = printed(capsys, "history", "tiny")

    assert isinstance(periods, list)
    assert [(each["version"], each["kind"]) for each in periods] == [
        (1, "promotion"),
        (2, "promotion"),
        (1, "rollback"),
        (3, "promotion"),
    ]
    assert periods[2]["audit"] == {"actor": "ann@vm", "reason": "it answers in verse"}
    assert [each["until"] for each in periods] == [each["since"] for each in periods[1:]] + [None]


def test_the_newest_of_a_long_history_are_shown(recorded: Registry, capsys: Printed) -> None:
    """And that there are older ones."""
    newest = printed(capsys, "history", "tiny", "--last", "2")
    assert run(["history", "tiny", "--last", "1"]) == 0
    said = capsys.readouterr()

    assert newest == printed(capsys, "history", "tiny")[-2:]
    assert "rollback" not in said.out
    assert "there are older ones: slipway history tiny --last 10" in said.err


def test_a_release_is_found_by_its_key(recorded: Registry) -> None:
    """Its verdict has the name of today; of a quarantined one, the reason is known."""
    first, second = (recorded.tags("tiny", version)["slipway.key"] for version in (1, 2))

    released, quarantined = (recorded.released("tiny", key) for key in (first, second))

    assert released is not None
    assert isinstance(released.verdict, Promoted)
    assert (released.versions.onnx.version, released.existed, released.waiting) == (1, True, False)
    assert quarantined is not None
    assert quarantined.verdict.reasons[0] == "quarantined: ann@vm: it answers in verse"
    assert recorded.earlier_rejection("tiny", first) is None


def test_a_rejected_release_is_found_by_its_key(recorded: Registry) -> None:
    """Its versions are gone; its run says why, so that nothing builds it again."""
    location = mlflow_location(Settings())
    run_id = read_run.last_release("tiny", location)
    assert run_id is not None
    tags = recorded.client.get_run(run_id).data.tags

    rejection = recorded.earlier_rejection("tiny", tags["slipway.key"])

    assert tags["slipway.verdict"] == "keep"
    assert rejection is not None
    assert (rejection.kind, rejection.run_id) == ("rejected", run_id)
    assert any("tokens_per_second" in reason for reason in rejection.reasons)
    assert Outcome.from_tags(tags).verdict == "rejected"
    (candidate,) = read_run.candidates(run_id, location)
    assert (candidate.variant, candidate.verdict) == ("cpu-fp32", "selected")
    assert candidate.figures["size_bytes"].value == 550_617


def test_the_champion_is_read_with_its_contract_and_figures(recorded: Registry) -> None:
    """The next release is compared with it."""
    champion = recorded.measured_champion("tiny", "chat")

    assert champion is not None
    assert (champion.version, champion.wrapper.contract) == (3, "prompt")
    assert champion.wrapper.model_id.startswith("m-")
    assert {"kl_mean", "size_bytes", "tokens_per_second"} <= champion.figures.keys()


def test_what_made_a_version_is_read(recorded: Registry) -> None:
    """Its source, its license, which was spelled differently, and the digests of its files."""
    tags = recorded.client.get_model_version("tiny", "3").tags
    origin = ReleaseOrigin.from_tags(tags)

    assert "slipway.format" not in tags
    assert (origin.repo, origin.license, origin.variant) == ("slipway/tiny-phi3", "mit", "cpu-fp32")
    assert {len(origin.digest), len(origin.code)} == {64}
    assert VersionTags.from_tags(tags).obstacle is None


def test_reading_twice_changes_nothing(recorded: Registry) -> None:
    """A tag that was rewritten in today's format before its format was is read all the same."""
    client = recorded.client
    experiments = client.search_experiments()
    runs = client.search_runs([each.experiment_id for each in experiments])
    versions = client.search_model_versions()
    found = [each.tags for each in (*experiments, *versions)] + [run.data.tags for run in runs]

    upgraded = [format_1.upgrade(tags) for tags in found]

    assert [format_1.upgrade(tags) for tags in upgraded] == upgraded
    assert sum(before != after for before, after in zip(found, upgraded, strict=True)) > len(runs)


def last_revision() -> dict[str, Any]:
    """Return the revision of the last poll, as it is recorded."""
    experiment = mlflow.get_experiment_by_name("tiny")
    assert experiment is not None
    revision: dict[str, Any] = json.loads(format_1.upgrade(experiment.tags)[LAST_SEEN])["revision"]
    return revision


def test_the_last_poll_has_no_digest_of_all_files(recorded: Registry) -> None:
    """So the next poll resolves the source once more, and remembers what it finds."""
    location = mlflow_location(Settings())

    assert last_seen.last_seen("tiny", location) is None
    revision = last_revision()
    assert revision["license"] == "mit"
    assert revision["commit"] == recorded.tags("tiny", 3)["slipway.commit"]
    assert "files_digest" not in revision


def test_two_recorded_versions_are_compared(recorded: Registry, capsys: Printed) -> None:
    """Figures, gates and manifests of both are there."""
    found = printed(capsys, "compare", "tiny", "1", "2")

    assert isinstance(found, dict)
    sides = found["before"], found["after"]
    assert [each["verdict"] for each in sides] == ["promoted", "promoted"]
    assert [each["manifest"]["license"] for each in sides] == ["mit", "mit"]
    assert all(each["gates"] and each["answers"] for each in sides)
    assert "weights: model.safetensors" in {change["what"] for change in found["changes"]}
    assert "kl_mean" in {figure["metric"] for figure in found["figures"]}


def test_the_previous_champion_is_restored(changeable: Registry) -> None:
    """Its files are compared first; earlier quarantines stay."""
    change = changeable.roll_back("tiny", None, ANN)

    assert (change.kind, change.before, change.after) == ("rollback", 3, 1)
    for name in ("tiny", "tiny-transformers"):
        assert changeable.aliases(name) == {"candidate": 3, "champion": 1, "previous": 3}
        assert changeable.tags(name, 2)["slipway.quarantined"] == "ann@vm: it answers in verse"
        assert changeable.tags(name, 3)["slipway.quarantined"] == "ann@vm: it is rude"
    assert [each.after for each in changeable.changes("tiny")] == [1, 2, 1, 3, 1]


def test_a_quarantine_is_lifted(changeable: Registry) -> None:
    """The version serves again, and its tags are of today's format."""
    key = changeable.tags("tiny", 2)["slipway.key"]

    lifted = changeable.lift_quarantine("tiny", key, ANN)

    assert lifted is not None
    assert changeable.champion("tiny") == changeable.champion("tiny-transformers") == 2
    tags = changeable.client.get_model_version("tiny", "2").tags
    assert tags["slipway.format"] == "2"
    assert json.loads(tags["slipway.release"])["verdict"]["kind"] == "promoted"
    assert changeable.released("tiny", key) is not None


@pytest.mark.parametrize(
    ("answer", "champion", "kind"), [("approved", 2, "promoted"), ("rejected", 1, "rejected")]
)
def test_a_waiting_candidate_is_decided_about(
    changeable: Registry, answer: str, champion: int, kind: str
) -> None:
    """It was asked for by the earlier version; the tag in the MLflow UI answers."""
    assert changeable.waiting("tiny-manual") == 2
    assert changeable.apply_answer("tiny-manual", timeout_hours=1_000_000) is None
    changeable.client.set_model_version_tag("tiny-manual", "2", "slipway.approval", answer)

    release = changeable.apply_answer("tiny-manual", timeout_hours=1_000_000)

    assert release is not None
    assert release.verdict.kind == kind
    assert changeable.champion("tiny-manual") == champion
    tags = changeable.client.get_run(release.versions.run_id).data.tags
    assert (tags["slipway.verdict"], tags["slipway.format"]) == (kind, "2")


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_half_done_promotion_is_rolled_back(
    changeable: Registry, tmp_path: Path, elsewhere: bool
) -> None:
    """On its own machine at once; on another one since the record is older than an hour."""
    if elsewhere:
        recorded_registry.begun_elsewhere(tmp_path / "home", timedelta(hours=2))
    served, reference = "tiny-halted", "tiny-halted-transformers"
    assert changeable.aliases(served) == {"candidate": 2, "champion": 2, "previous": 1}
    assert changeable.aliases(reference) == {"candidate": 2, "champion": 1}

    changeable.recover(served)

    assert changeable.aliases(served) == changeable.aliases(reference)
    assert changeable.aliases(served) == {"candidate": 1, "champion": 1}
    assert [change.after for change in changeable.changes(served)] == [1]
    with changeable.consistent_read(served):
        assert changeable.champion(served) == 1


def test_a_promotion_that_another_machine_just_began_is_left_alone(
    changeable: Registry, tmp_path: Path
) -> None:
    """No lock reaches there; whoever reads the aliases has to try again."""
    recorded_registry.begun_elsewhere(tmp_path / "home", timedelta(0))

    changeable.recover("tiny-halted")

    assert changeable.champion("tiny-halted") == 2
    with pytest.raises(RegistryConflict), changeable.consistent_read("tiny-halted"):
        pass


def test_stored_files_are_reused_and_stored_results_are_not(
    recorded: Registry, unpacked: Path
) -> None:
    """What Prefect stored holds values with the fields of their time; files have none."""
    stored, results = (
        {path.name for path in (unpacked / "home" / folder).iterdir()}
        for folder in ("store", "prefect/results")
    )
    connect(mlflow_location(Settings()))
    revision = Revision.model_validate(last_revision() | {"files_digest": "0" * 64})

    key = keys.weights_key(revision, toolchain())

    assert key in stored
    assert key in results
    assert keys.result_key(key) not in results


@pytest.mark.parametrize("version", [1, 3])
def test_a_recorded_version_loads_as_the_server_loads_it(recorded: Registry, version: int) -> None:
    """Its files are those that were released, its wrapper is known, and the model answers."""
    files = fetch(CopyRequest(place=recorded.copies, name="tiny", version=version))

    assert files.digest == recorded.tags("tiny", version)["slipway.digest"]
    assert load(files.folder).predict({"prompt": QUESTION}) == [ANSWER]


def test_a_recorded_version_without_a_digest_is_refused(changeable: Registry) -> None:
    """Whatever the format: each of the three tags is needed."""
    changeable.client.delete_model_version_tag("tiny", "3", "slipway.mlmodel_sha256")

    with pytest.raises(VersionRefused, match=r"slipway.mlmodel_sha256 is missing.*--force"):
        fetch(CopyRequest(place=changeable.copies, name="tiny", version=3))


def test_a_recorded_reference_is_refused(recorded: Registry) -> None:
    """Its files had no digest then; only a smoke test loads a reference, and only a new one."""
    request = CopyRequest(
        place=recorded.copies, name="tiny-transformers", version=3, kind="transformers"
    )

    with pytest.raises(VersionRefused, match="before the files of the reference had a digest"):
        fetch(request)


def test_the_command_line_predicts(recorded: Registry, capsys: Printed) -> None:
    """The champion was trained to answer by heart."""
    assert recorded.champion("tiny") == 3

    assert printed(capsys, "predict", "tiny", QUESTION) == {"text": ANSWER}
