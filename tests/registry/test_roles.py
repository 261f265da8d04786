"""Who may do what, with users of a real MLflow server."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from commands.main import run
from slipway.errors import MoveRefused, RegistryConflict, RoleMissing, UserRefused
from slipway.redeploy.values import NoChange
from slipway.registry import Registry
from slipway.tracking import heartbeat
from slipway.tracking.accounts import Accounts
from slipway.tracking.location import MlflowLocation
from slipway.tracking.tags import HEARTBEAT, LOCK
from slipway.values import AuditInfo
from tasks.context import audit_info
from tasks.redeploy import compare
from tests.support import project
from tests.support.fake_registry import ANN, FakeRegistry, fresh_name, registry_at
from tests.support.full_stack import mlflow_server

pytestmark = pytest.mark.slow  # starts an MLflow server, and makes releases through it

ADMINISTRATOR, PASSWORD = "ops", "a-long-password"
ROLES = {"rae": "reader", "rel": "releaser", "pro": "promoter", "ada": "admin"}

Said = pytest.CaptureFixture[str]
Server = tuple[str, Path, dict[str, str]]


@dataclass(frozen=True)
class Company:
    """A server whose users have all roles, and one model of its catalogue.

    Attributes:
        passwords: By user.
    """

    url: str
    folder: Path
    passwords: dict[str, str]
    model: str
    patch: pytest.MonkeyPatch

    def command(self, folder: Path, *arguments: str) -> int:
        """Run a command in a home without a password of its own, and return its exit code."""
        text = project.CATALOGUE.format(contract="prompt").replace(".tiny", f".{self.model}")
        (folder / "catalogue.toml").write_text(text, encoding="utf-8")
        self.patch.setenv("SLIPWAY_HOME", str(folder / "home"))
        self.patch.setenv("SLIPWAY_CATALOGUE", str(folder / "catalogue.toml"))
        self.patch.setenv("MLFLOW_TRACKING_URI", self.url)
        return run([*arguments])

    def sign_in(self, name: str) -> FakeRegistry:
        """Return the model as a user finds it; this process is that user from now on."""
        self.patch.setenv("MLFLOW_TRACKING_USERNAME", name)
        self.patch.setenv("MLFLOW_TRACKING_PASSWORD", self.passwords[name])
        location = MlflowLocation(uri=self.url, artifacts=None)
        registry = registry_at(location, self.folder)
        return FakeRegistry(registry, self.folder / "files" / self.model, self.model)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a server with a user of each role; give its address, folder and the passwords."""
    folder = tmp_path_factory.mktemp("company")
    passwords = {ADMINISTRATOR: PASSWORD}
    with (
        mlflow_server(folder, auth=f"{ADMINISTRATOR}:{PASSWORD}") as url,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("MLFLOW_TRACKING_USERNAME", ADMINISTRATOR)
        patch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        accounts = Accounts(url)
        for name, role in ROLES.items():
            passwords[name] = f"a-long-password-of-{name}"
            accounts.add(name, passwords[name])
            accounts.give(name, role)
        yield url, folder, passwords


@pytest.fixture
def company(server: Server, monkeypatch: pytest.MonkeyPatch) -> Company:
    """Return the server with a model of the test's own, to which the roles are applied."""
    company = Company(*server, fresh_name(), monkeypatch)
    company.sign_in(ADMINISTRATOR).registry.apply_roles(company.model)
    return company


@pytest.fixture(scope="module")
def shared_model(server: Server) -> str:
    """Make a model with a champion (3), the one before (1), a quarantined version and a candidate.

    The candidate (4) waits for approval. No test changes the champion for good.
    """
    with pytest.MonkeyPatch.context() as patch:
        company = Company(*server, fresh_name(), patch)
        company.sign_in(ADMINISTRATOR).registry.apply_roles(company.model)
        promoter = company.sign_in("pro")
        promoter.release("one")
        promoter.release("two")
        promoter.registry.roll_back(company.model, None, ANN)
        promoter.release("three")
        promoter.release("four", "approval")
    return company.model


@pytest.fixture
def released(server: Server, shared_model: str, monkeypatch: pytest.MonkeyPatch) -> Company:
    """Return the server with the model that these tests share."""
    return Company(*server, shared_model, monkeypatch)


@pytest.mark.parametrize("role", ["rel", "pro", "ada"])
def test_a_model_that_was_never_released_has_nothing_and_is_no_secret(
    company: Company, role: str, tmp_path: Path, capsys: Said
) -> None:
    """MLflow refuses any question about an alias or a version of a model that it does not have."""
    registry = company.sign_in(role).registry

    assert registry.champion(company.model) is None
    assert registry.waiting(company.model) is None
    assert registry.state(company.model, 1) is None
    assert company.command(tmp_path, "verify", company.model, "--version", "1") == 2
    assert f"{company.model} v1" in capsys.readouterr().err


def approve(model: FakeRegistry) -> object:
    """Approve what waits."""
    version = model.registry.waiting(model.model)
    assert version is not None
    return model.registry.decide(model.model, version, "approve", ANN)


def roll_back(model: FakeRegistry) -> object:
    """Restore the champion before this one, which is quarantined."""
    return model.registry.roll_back(model.model, None, ANN)


def lift(model: FakeRegistry) -> object:
    """Make the quarantined version champion again."""
    return model.registry.lift_quarantine(model.model, "two", ANN)


def clean(model: FakeRegistry) -> None:
    """Delete nothing, as a clean-up does it."""
    with model.registry.removing(model.model, (), (), (), ANN):
        pass


def release(model: FakeRegistry) -> object:
    """Release another version."""
    model.registry.require_experiments(model.model)
    return model.release("five")


#: In an order in which each finds what it changes.
MOVES: dict[str, Callable[[FakeRegistry], object]] = {
    "approve": approve,
    "roll back": roll_back,
    "lift": lift,
    "clean": clean,
    "release": release,
}


def refused(move: Callable[[FakeRegistry], object], model: FakeRegistry) -> bool:
    """Return whether a user's role does not allow a move."""
    try:
        move(model)
    except RoleMissing:
        return True
    return False


@pytest.mark.parametrize(("user", "allowed"), [("rae", set[str]()), ("rel", {"release"})])
def test_who_may_not_promote_changes_no_champion(
    released: Company, user: str, allowed: set[str]
) -> None:
    """What a releaser releases waits for a promoter, though it would be promoted at once."""
    model = released.sign_in(user)

    done = {name for name, move in MOVES.items() if not refused(move, model)}

    assert done == allowed
    assert model.registry.champion(released.model) == 3
    assert model.registry.waiting(released.model) == (5 if allowed else 4)
    history = model.registry.history(released.model)
    assert [(each.version, each.kind) for each in history] == [
        (1, "promotion"),
        (2, "promotion"),
        (1, "rollback"),
        (3, "promotion"),
    ]


@pytest.mark.parametrize("user", ["pro", "ada"])
def test_who_may_promote_makes_every_move(company: Company, user: str) -> None:
    """Each finds what the one before it left."""
    company.sign_in("rel").release("one")
    model = company.sign_in(user)
    model.registry.decide(company.model, 1, "approve", ANN)
    model.release("two", "approval")

    for move in MOVES.values():
        move(model)

    history = model.registry.history(company.model)
    assert [each.version for each in history] == [1, 2, 1, 2, 3]


def denied(request: Callable[[], object]) -> bool:
    """Return whether MLflow itself denies a request."""
    try:
        request()
    except MlflowException as error:
        return "403" in str(error)
    return False


def test_mlflow_denies_what_a_role_does_not_have(released: Company) -> None:
    """Whatever client is used: a reader writes nothing, a releaser no record of a champion."""
    name, client = released.model, released.sign_in("rae").registry.client
    ids = {
        each.name.removeprefix(name): each.experiment_id
        for each in client.search_experiments()
        if each.name.startswith(name)
    }
    record = client.search_runs([ids["/promotions"]])[0].info.run_id
    accounts = Accounts(released.url)
    mine = {"resource_type": "experiment", "resource_id": ids["/promotions"]}

    def write_records() -> list[bool]:
        return [
            denied(lambda: client.create_run(ids["/promotions"])),
            denied(lambda: client.set_tag(record, "slipway.by", "me")),
            denied(lambda: client.delete_run(record)),
            denied(lambda: client.delete_experiment(ids["/promotions"])),
        ]

    def promote_itself(user: str) -> list[bool]:
        grant = {"username": user, "permission": "EDIT"} | mine
        return [
            denied(lambda: accounts._call("POST", "3.0/mlflow/users/permissions/grant", **grant)),
            denied(lambda: accounts._call("POST", "2.0/mlflow/users/create", username="me")),
            denied(lambda: accounts.permit("releaser", {("experiment", "*"): "MANAGE"})),
        ]

    assert set(ids) == {"", "/candidates", "/promotions"}
    assert all(write_records())
    assert all(promote_itself("rae"))
    assert denied(lambda: client.set_registered_model_alias(name, "champion", "4"))
    assert denied(lambda: client.set_model_version_tag(name, "4", "slipway.approval", "approved"))
    assert denied(lambda: client.create_run(ids[""]))
    released.sign_in("rel")
    assert all(write_records())
    assert all(promote_itself("rel"))
    assert not denied(lambda: client.create_run(ids[""]))
    released.sign_in("pro")
    assert all(promote_itself("pro"))
    assert write_records() == [False, False, True, True]


@pytest.mark.parametrize("user", ["rel", ADMINISTRATOR])
def test_a_champion_that_is_moved_by_hand_is_shown_and_put_back(
    released: Company, user: str, tmp_path: Path, capsys: Said
) -> None:
    """Whoever did it, since MLflow does not say. A reader's machine waits for that."""
    released.sign_in(user).move_by_hand(1)

    assert released.command(tmp_path, "status", released.model) == 0
    shown = capsys.readouterr().out
    released.sign_in("rae")
    left_alone = compare.fn(released.model)
    registry = released.sign_in(ADMINISTRATOR).registry
    change = registry.undo_manual_change(released.model, needs_approval=False)

    said = "version 1 was made champion by hand, and no promoter's record says so"
    assert f"{said}; reconcile undoes that" in shown
    assert left_alone == NoChange(reason=f"{said}; a promoter's reconcile undoes that")
    assert change is not None
    assert (change.kind, change.after, change.audit.reason) == ("restored", 3, said)
    assert [aliases["champion"] for aliases in released.sign_in("rae").aliases()] == [3, 3]
    assert registry.undo_manual_change(released.model, needs_approval=False) is None


def test_an_alias_that_is_removed_by_hand_is_put_back(released: Company) -> None:
    """Whoever may delete versions may do that."""
    releaser = released.sign_in("rel").registry
    releaser.client.delete_registered_model_alias(released.model, "champion")

    with pytest.raises(RoleMissing, match="slipway users role rel promoter"):
        releaser.undo_manual_change(released.model, needs_approval=False)
    registry = released.sign_in("pro").registry
    change = registry.undo_manual_change(released.model, needs_approval=False)

    assert change is not None
    assert "the champion was removed by hand" in change.audit.reason
    assert registry.champion(released.model) == 3


def test_a_tag_approves_nothing(released: Company) -> None:
    """A releaser can set it."""
    client = released.sign_in("rel").registry.client
    client.set_model_version_tag(released.model, "4", "slipway.approval", "approved")

    registry = released.sign_in(ADMINISTRATOR).registry

    assert registry.apply_answer(released.model, timeout_hours=1) is None
    assert registry.champion(released.model) == 3


def test_a_rollback_goes_to_no_version_that_was_never_champion(released: Company) -> None:
    """A releaser may set the alias ``previous``, and tags."""
    client = released.sign_in("rel").registry.client
    for tag in ("slipway.approval", "slipway.decided"):
        client.set_model_version_tag(released.model, "4", tag, "approved")
    client.set_registered_model_alias(released.model, "previous", "4")

    with pytest.raises(MoveRefused, match="there is no previous version"):
        roll_back(released.sign_in("pro"))


def test_a_record_among_those_of_candidates_changes_no_champion(released: Company) -> None:
    """A releaser writes one that was never begun, to have it rolled back by somebody else."""
    releaser = released.sign_in("rel").registry
    records = releaser._search(f"{released.model}/promotions", "FINISHED", "slipway.at")
    change = next(run.data.tags for run in records if run.data.tags["slipway.to"] == "3")
    forged = {tag: text for tag, text in change.items() if tag.startswith("slipway.")}
    client = releaser.client
    place = client.get_experiment_by_name(f"{released.model}/candidates").experiment_id
    client.create_run(place, tags=forged)
    finished = client.create_run(place, tags=forged).info.run_id
    client.set_terminated(finished, "FINISHED")
    released.sign_in("rel").move_by_hand(1)

    registry = released.sign_in(ADMINISTRATOR).registry
    (ended,) = registry.recover(released.model)

    assert "FAILED" in ended
    assert "it changes champion of" in ended
    assert registry.history(released.model)[-1].kind == "by-hand"
    assert registry.undo_manual_change(released.model, needs_approval=False) is not None
    assert registry.champion(released.model) == 3


def test_an_open_record_of_a_releaser_holds_up_no_return_of_a_champion(company: Company) -> None:
    """It is of another machine, and it lives; a rollback does not wait for it either."""
    promoter = company.sign_in("pro")
    promoter.release("one")
    promoter.release("two")
    releaser = company.sign_in("rel")
    releaser.release("three")
    client = releaser.registry.client
    place = client.get_experiment_by_name(f"{company.model}/candidates").experiment_id
    (made,) = client.search_runs([place])
    lease = {LOCK: "another machine", HEARTBEAT: heartbeat.now()}
    client.create_run(place, tags=made.data.tags | lease)
    releaser.move_by_hand(3)

    registry = company.sign_in("pro").registry
    with pytest.raises(RegistryConflict, match="another machine moves its aliases"):
        registry.decide(company.model, 3, "approve", ANN)
    assert registry.undo_manual_change(company.model, needs_approval=False) is not None
    assert registry.champion(company.model) == 2
    assert registry.roll_back(company.model, None, ANN).after == 1


def test_what_users_have_without_a_role_is_taken_back(company: Company) -> None:
    """MLflow lets whoever makes an experiment write to it, and give that to others."""
    client, new = company.sign_in("rel").registry.client, f"{company.model}-new"
    made = client.create_experiment(f"{new}/promotions")
    assert not denied(lambda: client.create_run(made))

    taken = company.sign_in(ADMINISTRATOR).registry.apply_roles(new)

    assert taken == (
        f"rel had MANAGE on the experiment {new}/promotions without a role, which was taken back",
    )
    company.sign_in("rel")
    assert denied(lambda: client.create_run(made))
    assert company.sign_in(ADMINISTRATOR).registry.apply_roles(new) == ()


def test_what_a_role_may_is_put_right(company: Company) -> None:
    """An administrator changed it in MLflow."""
    client = company.sign_in("rel").registry.client
    records = client.get_experiment_by_name(f"{company.model}/promotions").experiment_id
    company.sign_in(ADMINISTRATOR)
    Accounts(company.url).permit("releaser", {("experiment", records): "EDIT"})
    company.sign_in("rel")
    assert not denied(lambda: client.create_run(records))

    company.sign_in(ADMINISTRATOR).registry.apply_roles(company.model)

    company.sign_in("rel")
    assert denied(lambda: client.create_run(records))


def test_a_new_model_waits_for_an_administrator(company: Company) -> None:
    """Before anything is built."""
    releaser = company.sign_in("rel").registry

    with pytest.raises(UserRefused, match="no experiment 'newer', which an administrator makes"):
        releaser.require_experiments("newer")


def test_the_history_names_the_person(company: Company) -> None:
    """Who is signed in; of the account that the services share, who is at the machine."""
    company.patch.setenv("MLFLOW_TRACKING_URI", company.url)
    company.sign_in("rel").release("one", audit=audit_info("looks good"))
    promoter = company.sign_in("pro").registry
    promoter.decide(company.model, 1, "approve", audit_info("is good"))

    (period,) = promoter.history(company.model)

    assert period.audit == AuditInfo(actor="pro", reason="is good")
    company.sign_in(ADMINISTRATOR)
    company.patch.setenv("SLIPWAY_AUTH", f"{ADMINISTRATOR}:{PASSWORD}")
    assert "@" in audit_info("by the services").actor


def test_users_are_made_and_removed_by_a_command(
    company: Company, tmp_path: Path, capsys: Said
) -> None:
    """With a password that is printed once; only an administrator may do that."""
    company.sign_in(ADMINISTRATOR)

    def printed(*arguments: str, code: int = 0) -> Any:
        capsys.readouterr()  # MLflow prints where it ended a run
        assert company.command(tmp_path, "users", *arguments, "--json") == code
        return json.loads(capsys.readouterr().out)

    def refuse(_: Accounts, name: str, __: str) -> None:
        raise UserRefused(name, "MLflow has no such permission", "ask an administrator")

    with company.patch.context() as patch:
        patch.setattr(Accounts, "give", refuse)
        printed("add", "eve", "--role", "releaser", code=2)
    made = printed("add", "eve", "--role", "releaser")  # nothing is left of the one that failed
    company.passwords["eve"] = made["password"]
    assert company.sign_in("eve").release("one").waiting
    assert "may not see or change users" in printed("list", code=2)["message"]
    company.sign_in(ADMINISTRATOR)
    assert "there is such a user" in printed("add", "eve", "--role", "reader", code=2)["message"]
    assert printed("role", "eve", "reader") == [{"name": "eve", "role": "reader"}]
    assert {"name": "eve", "role": "reader"} in printed("list")
    with pytest.raises(RoleMissing):
        company.sign_in("eve").registry.require_experiments(company.model)
    company.sign_in(ADMINISTRATOR)
    assert "you are signed in" in printed("remove", ADMINISTRATOR, code=2)["message"]
    assert printed("remove", "eve") == {"removed": "eve"}
    assert "there is no such user" in printed("role", "eve", "admin", code=2)["message"]


def test_a_registry_without_users_asks_nobody(registry: Registry, tmp_path: Path) -> None:
    """A database, and a server that was started without a password."""
    assert registry.person is None
    assert not registry.has_roles
    with mlflow_server(tmp_path) as url:
        assert Accounts(url).signed_in() is None
