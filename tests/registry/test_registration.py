"""A release is registered once a key; what is found by a key is verified before it is used."""

import shutil
from pathlib import Path

import pytest
import yaml

from slipway.errors import MoveRefused
from slipway.system.store import sha256
from slipway.tracking.lease import Lease
from slipway.tracking.log_models import Logged, LogRequest
from slipway.values import Rejected
from tests.support.fake_registry import FakeRegistry, new_registry


def logged(fake_registry: FakeRegistry, key: str = "one") -> tuple[LogRequest, Logged]:
    """Return what a release logs, and that it is logged and not yet registered."""
    return log(fake_registry, fake_registry.request(key))


def log(fake_registry: FakeRegistry, request: LogRequest) -> tuple[LogRequest, Logged]:
    """Return what a process logs that is asked for this, with the lease of that process."""
    leased = request.model_copy(update={"lease": Lease()})
    return leased, fake_registry.log(leased)


def test_what_one_process_registered_the_next_one_finds(fake_registry: FakeRegistry) -> None:
    """A model that the second one logged as well is not used: every id is the version's own."""
    request, first = logged(fake_registry)
    again, second = log(fake_registry, request)
    assert fake_registry.registry.registered(request) is None

    registered = fake_registry.registry.register(request, first)

    assert fake_registry.registry.registered(request) == registered
    assert fake_registry.registry.register(again, second) == registered
    assert registered.run_id == first.run_id
    assert [each.model_id for each in registered.wrappers] == list(first.model_ids.values())


def test_two_registries_of_one_process_do_not_mix(
    fake_registry: FakeRegistry, tmp_path: Path
) -> None:
    """Each one is asked for what is its own, whichever the process opened last."""
    fake_registry.release("one")
    (tmp_path / "other").mkdir()
    other = FakeRegistry(new_registry(tmp_path / "other"), tmp_path / "files", fake_registry.model)
    other.registry.client.create_experiment("of somebody else")  # no id means the same in both
    other.release("three")

    again = fake_registry.release("two")

    client = fake_registry.registry.client
    experiment = client.get_experiment_by_name(fake_registry.model)
    assert client.get_run(again.versions.run_id).info.experiment_id == experiment.experiment_id
    assert fake_registry.registry.champion(fake_registry.model) == 2
    assert other.registry.champion(other.model) == 1


def test_half_of_a_registration_is_completed(fake_registry: FakeRegistry) -> None:
    """The version that is there stays, with the model that it names."""
    request, first = logged(fake_registry)
    before = fake_registry.registry.register(request, first)
    client = fake_registry.registry.client
    client.delete_model_version(before.transformers.name, "1")
    assert fake_registry.registry.registered(request) is None

    after = fake_registry.registry.register(*log(fake_registry, request))

    assert after.onnx == before.onnx
    assert after.transformers.version == 2
    assert after.transformers.model_id != before.transformers.model_id


def test_half_of_a_release_that_was_withdrawn_is_made_anew(fake_registry: FakeRegistry) -> None:
    """Its process was killed between the two deletions: what it left is of a run that is over."""
    request = fake_registry.request("one")
    first = fake_registry.register("one")
    fake_registry.registry.client.delete_model_version(fake_registry.model, "1")

    again = fake_registry.registry.register_once(request, fake_registry.log)

    assert again.run_id != first.run_id
    assert fake_registry.tags(again.onnx.version)["slipway.key"] == "one"
    reference = fake_registry.registry.client.get_model_version(again.transformers.name, "2")
    assert reference.run_id == again.run_id


def test_a_withdrawal_that_was_killed_is_no_rejection_yet(
    fake_registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nothing would try again, and its versions would stay; the next try withdraws them."""
    versions, verdict = fake_registry.register("one"), Rejected(reasons=("too slow",))
    registry, model = fake_registry.registry, fake_registry.model

    def killed(name: str, version: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(registry.client, "delete_model_version", killed)
        with pytest.raises(KeyboardInterrupt):
            registry.withdraw(versions, verdict)
    registry.recover(model)

    assert registry.earlier_rejection(model, "one") is None
    registry.withdraw(fake_registry.register("one"), verdict)
    refusal = registry.earlier_rejection(model, "one")
    assert refusal is not None
    assert refusal.reasons == ("too slow",)


@pytest.mark.parametrize(
    ("kind", "path", "named"),
    [
        ("onnx", "artifacts/model/model.onnx", "artifacts/model has digest"),
        ("onnx", "onnx_genai.py", "onnx_genai.py has digest"),
        ("onnx", "__pycache__/onnx_genai.cpython-311.pyc", "onnx_genai.cpython-311.pyc"),
        ("onnx", "MLmodel", "MLmodel has digest"),
        ("transformers", "model/model.safetensors", "model has digest"),
        ("transformers", "components/tokenizer/tokenizer.py", "tokenizer.py"),
    ],
)
def test_a_version_whose_files_are_not_those_of_its_tags_is_refused(
    fake_registry: FakeRegistry, kind: str, path: str, named: str
) -> None:
    """Whether an earlier run left it or somebody else; the line says which file it is."""
    request, theirs = logged(fake_registry)
    registered = fake_registry.registry.register(request, theirs)
    wrapper = registered.onnx if kind == "onnx" else registered.transformers
    file = fake_registry.file(wrapper, path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"flavors: {}")

    ours = log(fake_registry, request)
    for look in (
        lambda: fake_registry.registry.registered(request),
        lambda: fake_registry.registry.register(*ours),
    ):
        with pytest.raises(MoveRefused, match=rf"version 1 of {wrapper.name} .*{named}"):
            look()


def test_a_version_that_somebody_leaves_with_our_key_is_refused(
    fake_registry: FakeRegistry,
) -> None:
    """Its tags and its files agree with each other, and not with what this release logs."""
    request, other = fake_registry.request("one"), fake_registry.request("another")
    theirs = other.model_copy(update={"key": "one"})
    fake_registry.registry.register(*log(fake_registry, theirs))

    with pytest.raises(MoveRefused, match=r"artifacts/model/model\.onnx differs"):
        fake_registry.registry.registered(request)


def test_mlmodel_may_differ_in_what_chooses_no_code(fake_registry: FakeRegistry) -> None:
    """Another machine may have another Python; the wrapper's settings are compared."""
    request, first = logged(fake_registry)
    registered = fake_registry.registry.register(request, first)
    file = fake_registry.file(registered.onnx, "MLmodel")
    document = yaml.safe_load(file.read_text(encoding="utf-8"))

    def write() -> None:
        file.write_text(yaml.safe_dump(document), encoding="utf-8")
        tag, client = "slipway.mlmodel_sha256", fake_registry.registry.client
        client.set_model_version_tag(fake_registry.model, "1", tag, sha256(file))

    document["flavors"]["python_function"]["python_version"] = "3.11.2"
    write()
    assert fake_registry.registry.registered(request) == registered

    document["flavors"]["python_function"]["config"]["max_tokens"] = 1
    write()
    with pytest.raises(MoveRefused, match="MLmodel differs"):
        fake_registry.registry.registered(request)


def test_a_version_without_files_is_refused(fake_registry: FakeRegistry) -> None:
    """What cannot be compared is not what would be logged."""
    request, first = logged(fake_registry)
    registered = fake_registry.registry.register(request, first)
    shutil.rmtree(fake_registry.file(registered.onnx, ""))

    with pytest.raises(MoveRefused, match="version 1"):
        fake_registry.registry.registered(request)


def test_what_was_promoted_is_not_promoted_twice(fake_registry: FakeRegistry) -> None:
    """Two processes release the same; the second one finds what the first one did."""
    first = fake_registry.release("one")

    second = fake_registry.release("one")

    assert second == first.model_copy(update={"existed": True})
    assert len(fake_registry.registry.changes(fake_registry.model)) == 1
