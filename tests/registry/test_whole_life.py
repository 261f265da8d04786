"""The whole life of a model in any order, with people, faults and kills: the promises hold."""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from slipway.clean import clean_up
from slipway.clean.decision import decide
from slipway.errors import (
    ArtifactChanged,
    MoveRefused,
    NoChampion,
    RegistryConflict,
    SourceMissing,
    VersionRefused,
)
from slipway.registry.lookup import registered_name
from slipway.settings import Settings
from slipway.tracking import model_storage
from slipway.tracking.tags import APPROVAL, DIGEST, KEY, PINNED, QUARANTINED, RELEASE, STATUS
from slipway.tracking.verified_copy import CopyRequest, verify
from slipway.values import (
    ApprovalDecision,
    AuditInfo,
    Inventory,
    Promoted,
    PromotionTarget,
    Rejected,
    Release,
    Retention,
    WrapperKind,
)
from tests.support.fake_registry import ANN, FakeRegistry
from tests.support.invariants import registry_violations
from tests.support.kills import Killed
from tests.support.memory_models import ModelClient, WholeRegistry, as_mlflow

BOB = AuditInfo(actor="bob@harbour", reason="it answers in verse")
MODEL = "tiny"

#: Of both models, the version that each alias names.
Aliases = tuple[dict[str, int], dict[str, int]]
FIRST_DAY = datetime(2026, 11, 1, tzinfo=UTC)

#: Before which of its changes of MLflow a command is killed; most are not.
KILLED_AT = st.one_of(st.none(), st.integers(0, 9), st.integers(10, 45))
#: One of the versions that are there, or none if there is none.
PICK = st.integers(0, 30)
KIND = st.sampled_from(("onnx", "transformers"))
#: Tags of versions that people change, and what they set; None removes one.
EDITS = (
    (DIGEST, "ab" * 32),
    (DIGEST, None),
    (STATUS, None),
    (RELEASE, None),
    (QUARANTINED, "by hand"),
    (QUARANTINED, None),
    (PINNED, "yes"),
)


class WholeLife(RuleBasedStateMachine):
    """Does to a model what people, triggers, faults and the system do.

    Attributes:
        settled: Whether every command that was killed was run again since.
        touched: Whether somebody changed the registry with other means than ours.
        uneven: Aliases that somebody changed in one of the two registered models alone.
        passed: Serving versions that passed their gates.
        chosen: Those that somebody made champion by hand.
        edited: Versions whose digest or files somebody changed, by name and number.
        tagged: Those of which somebody changed any tag.
        there: The registry of the environment that champions are promoted to.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.client = ModelClient(folder / "mlflow")
        self.registry = WholeRegistry(self.client, folder)
        self.model = FakeRegistry(self.registry, folder / "files", MODEL)
        self.there = WholeRegistry(ModelClient(folder / "prod"), folder / "prod-home", "prod")
        self.model_there = FakeRegistry(self.there, folder / "prod-files", MODEL)
        self.target: PromotionTarget = "champion"
        self.settled, self.touched = True, False
        self.unfinished: list[Callable[[], None]] = []
        self.uneven: set[str] = set()
        self.passed: set[int] = set()
        self.chosen: set[int] = set()
        self.edited: set[tuple[str, int]] = set()
        self.tagged: set[tuple[str, int]] = set()
        self.days: dict[int, int] = {}
        self._exits = ExitStack()
        self._exits.enter_context(as_mlflow(self.registry, self.there))
        patch = self._exits.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(clean_up, "open_registry", lambda _: self.registry)

    def teardown(self) -> None:
        """Forget this registry."""
        self._exits.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @initialize(approval=st.booleans())
    def choose(self, *, approval: bool) -> None:
        """The catalogue says whether a person approves champions."""
        self.target = "approval" if approval else "champion"

    # What triggers and people do with Slipway.

    @rule(
        day=st.integers(0, 7),
        passes=st.sampled_from((True, True, False)),
        force=st.booleans(),
        killed_at=KILLED_AT,
    )
    def release(self, *, day: int, passes: bool, force: bool, killed_at: int | None) -> None:
        """A commit is released, a new one or one whose trigger comes again."""
        self._run(lambda: self._release(day, passes=passes, force=force), killed_at)

    @precondition(lambda self: self.registry.champion(MODEL))
    @rule(pick=st.one_of(st.none(), st.none(), PICK), killed_at=KILLED_AT)
    def roll_back(self, *, pick: int | None, killed_at: int | None) -> None:
        """A person goes back to the version of before, or to the one that he names."""
        to = None if pick is None else int(self._pick("onnx", pick).version)

        def act() -> None:
            change = self.registry.roll_back(MODEL, to, BOB)
            assert (MODEL, change.after) not in self.edited
            self._send_events()

        self._run(act, killed_at, harmless_if_refused=True)

    @precondition(lambda self: self.registry.waiting(MODEL))
    @rule(decision=st.sampled_from(("approve", "reject")), killed_at=KILLED_AT)
    def answer(self, *, decision: ApprovalDecision, killed_at: int | None) -> None:
        """A person decides about what waits."""

        def act() -> None:
            if version := self.registry.waiting(MODEL):
                self.registry.decide(MODEL, version, decision, ANN)
                self._send_events()

        self._run(act, killed_at)

    @precondition(lambda self: self.registry.champion(MODEL))
    @rule(force=st.booleans(), killed_at=KILLED_AT)
    def promote(self, *, force: bool, killed_at: int | None) -> None:
        """A person brings the champion to the other registry."""
        self._run(lambda: self._promote(force=force), killed_at, harmless_if_refused=True)

    @precondition(lambda self: self.there.champion(MODEL))
    @rule(killed_at=KILLED_AT)
    def roll_back_there(self, *, killed_at: int | None) -> None:
        """A person goes back in the other registry alone."""
        before = self.model.aliases()
        self._run(self._roll_back_there, killed_at, harmless_if_refused=True)
        assert self.model.aliases() == before

    @precondition(lambda self: self._quarantined())
    @rule(pick=PICK, killed_at=KILLED_AT)
    def lift(self, *, pick: int, killed_at: int | None) -> None:
        """A person lets a quarantined version serve again."""
        found = self._quarantined()
        key = found[pick % len(found)].tags[KEY]

        def act() -> None:
            if release := self.registry.lift_quarantine(MODEL, key, ANN):
                assert (MODEL, release.versions.onnx.version) not in self.edited
                self._send_events()

        self._run(act, killed_at, harmless_if_refused=True)

    @precondition(lambda self: self.client.versions)
    @rule(versions=st.integers(1, 3), killed_at=KILLED_AT)
    def clean(self, *, versions: int, killed_at: int | None) -> None:
        """The schedule deletes what nothing needs any more."""
        self._run(lambda: self._clean(versions), killed_at, harmless_if_refused=True)

    @precondition(lambda self: self.client.versions)
    @rule(killed_at=KILLED_AT)
    def reconcile(self, *, killed_at: int | None) -> None:
        """The schedule repairs what was missed."""
        self._run(self._reconcile, killed_at)

    @precondition(lambda self: not self.settled)
    @rule()
    def restart(self) -> None:
        """What was killed is run again, and the schedule runs."""
        for act in self.unfinished:
            self._run(act, None)
        self._run(self._reconcile, None)
        self.unfinished, self.settled = [], True

    # What people and faults do to MLflow.

    @precondition(lambda self: self.client.versions)
    @rule(pick=PICK, alias=st.sampled_from(("champion", "previous", "candidate")))
    def move_by_hand(self, *, pick: int, alias: str) -> None:
        """Somebody sets an alias in the MLflow UI, of both models."""
        if version := self._pick("onnx", pick):
            self.touched = True
            pair = self._pair(version.tags[KEY])
            for name, number in pair:
                self.client.set_registered_model_alias(name, alias, str(number))
            if len(pair) == 1:
                self.uneven.add(alias)
            if alias == "champion":
                self.chosen.add(int(version.version))

    @precondition(lambda self: self.client.versions)
    @rule(pick=PICK, answer=st.sampled_from(("approved", "rejected", "perhaps")))
    def answer_by_tag(self, *, pick: int, answer: str) -> None:
        """Somebody sets the tag of a version in the MLflow UI."""
        if version := self._pick("onnx", pick):
            self.touched = True
            self.tagged.add((MODEL, int(version.version)))
            self.client.set_model_version_tag(MODEL, version.version, APPROVAL, answer)

    @precondition(lambda self: self.client.versions)
    @rule(
        pick=PICK,
        kind=KIND,
        edit=st.sampled_from(EDITS),
    )
    def edit_tag(self, *, pick: int, kind: WrapperKind, edit: tuple[str, str | None]) -> None:
        """Somebody changes a tag of a version."""
        if version := self._pick(kind, pick):
            self.touched = True
            tag, value = edit
            self.tagged.add((version.name, int(version.version)))
            if tag == DIGEST:
                self.edited.add((version.name, int(version.version)))
            if value is not None:
                self.client.set_model_version_tag(version.name, version.version, tag, value)
            elif tag in version.tags:
                self.client.delete_model_version_tag(version.name, version.version, tag)

    @precondition(lambda self: self.client.versions)
    @rule(pick=PICK, kind=KIND)
    def delete(self, *, pick: int, kind: WrapperKind) -> None:
        """Somebody deletes a version."""
        if version := self._pick(kind, pick):
            self.touched = True
            key = version.tags[KEY]
            for found in (self._keys("onnx"), self._keys("transformers")):
                self.uneven |= {alias for alias, named in found.items() if named == key}
            self.client.delete_model_version(version.name, version.version)

    @precondition(lambda self: self.client.versions)
    @rule(pick=PICK, kind=KIND)
    def flip(self, *, pick: int, kind: WrapperKind) -> None:
        """A bit of a version's files flips."""
        version = self._pick(kind, pick)
        edited = {(version.name, int(version.version))} if version else self.edited
        if version and not edited <= self.edited and version.model_id in self.client.logged:
            self.touched = True
            self.edited |= edited
            place = Path(self.client.get_logged_model(version.model_id).artifact_location)
            path = "artifacts/model/model.onnx" if kind == "onnx" else "model/model.safetensors"
            if (place / path).exists():  # no clean-up has begun to delete it
                content = (place / path).read_bytes()
                (place / path).write_bytes(bytes([content[0] ^ 1]) + content[1:])

    # What holds.

    @precondition(lambda self: self.settled)
    @invariant()
    def a_key_has_one_version(self) -> None:
        """In each registered model."""
        found = [(each.name, each.tags[KEY]) for each in self.client.search_model_versions("")]
        assert len(found) == len(set(found))

    @precondition(lambda self: self.settled)
    @invariant()
    def nothing_is_half_done(self) -> None:
        """No run is open."""
        open_runs = [run for run in self.client.runs.values() if run.info.status == "RUNNING"]
        assert open_runs == []

    @precondition(lambda self: self.settled)
    @invariant()
    def both_wrappers_name_the_same_release(self) -> None:
        """Unless somebody deleted one of its versions, or moved an alias to half a release."""
        served, reference = self._keys("onnx"), self._keys("transformers")
        for alias in ("champion", "previous", "candidate"):
            named = {served.get(alias), reference.get(alias)}
            if len(named) == 1:
                self.uneven.discard(alias)
            if any(len(self._pair(key)) == 1 for key in named - {None}):
                self.uneven.add(alias)
            assert len(named) == 1 or alias in self.uneven, alias

    @precondition(lambda self: self.settled)
    @invariant()
    def the_champion_passed_its_gates(self) -> None:
        """And is free to serve, unless somebody chose it by hand, or changed its tags."""
        champion = self.registry.champion(MODEL)
        if champion and champion not in self.chosen:
            assert champion in self.passed
            state = self.registry.state(MODEL, champion)
            assert state
            assert (MODEL, champion) in self.tagged or state.obstacle is None

    @precondition(lambda self: self.settled)
    @invariant()
    def the_other_registry_is_in_order(self) -> None:
        """What was promoted there passed its gates here.

        A promotion that was killed is finished by the next one, unless its release is no champion
        here by then, or somebody changed what it needs here.
        """
        champion = self._keys("onnx").get("champion")
        unfinished = {
            f"version {each.version} of {each.name} is neither released nor withdrawn"
            for each in self.there.client.search_model_versions("")
            if self.touched or each.tags[KEY] != champion
        }
        found = {*registry_violations(self.there.client)} - unfinished
        assert found == set(), found
        named = self.there.client.search_model_versions(f"name = '{MODEL}'")
        days = {int(each.tags[KEY].removeprefix("day-")) for each in named}
        assert days <= {self.days[version] for version in self.passed}

    @precondition(lambda self: self.settled and not self.touched)
    @invariant()
    def all_is_in_order(self) -> None:
        """As after any command that was killed and run again."""
        found = registry_violations(self.client)
        assert found == [], found

    def _run(
        self, act: Callable[[], None], killed_at: int | None, *, harmless_if_refused: bool = False
    ) -> None:
        """Do something as a process that is killed before one of its changes."""
        writes, before = count(), self.model.aliases()

        def kill() -> None:
            if next(writes) == killed_at:
                raise Killed

        self.client.before_write = self.there.client.before_write = kill
        try:
            act()
        except Killed:
            self.settled = False
            self.unfinished.append(act)
            if self._began_from_a_choice(before):
                self.uneven |= {"champion", "previous"}
        except MoveRefused:
            assert not (self.settled and harmless_if_refused) or self.model.aliases() == before
        except RegistryConflict as error:
            assert "MoveRefused" in str(error)  # noqa: PT017
        finally:
            self.client.before_write = self.there.client.before_write = lambda: None

    def _began_from_a_choice(self, before: Aliases) -> bool:
        """Return whether the champion was one that a hand chose and that was never released.

        No recovery leads back to such a version, so that nobody can make one champion by leaving an
        open record. A change that was killed then stays as it is.
        """
        champion = before[0].get("champion")
        state = self.registry.state(MODEL, champion) if champion else None
        return champion in self.chosen and not (state and state.released)

    def _release(self, day: int, *, passes: bool, force: bool) -> None:
        registry, key = self.registry, f"day-{day}"
        registry.recover(MODEL)
        self._apply_answer()
        self._send_events()
        if registry.released(MODEL, key):
            return
        versions = registry.register_once(self.model.request(key), self.model.log)
        number, before = versions.onnx.version, registry.champion(MODEL)
        self.days[number] = day
        verdict = Promoted(reasons=("fast",)) if passes else Rejected(reasons=("slow",))
        release = Release(
            versions=versions,
            repo="acme/tiny",
            commit=f"{day:040x}",
            variant="cpu-int8",
            verdict=verdict,
            promotion=None,
            dated=FIRST_DAY + timedelta(days=day),
        )
        if passes:
            self.passed.add(number)
            release = registry.promote(release, self.target, "A release.", ANN, overtakes=force)
        if not isinstance(release.verdict, Promoted):
            registry.withdraw(versions, release.verdict)
        if not force and registry.champion(MODEL) == number != before and before in self.days:
            assert self.days[before] <= day or not self._has_record(before)
        self._send_events()

    def _promote(self, *, force: bool) -> None:
        """Do what the flow ``promote_release`` does, in its order."""
        try:
            release, _ = self.registry.leaving(MODEL)
        except NoChampion:  # deleted since a kill, or set by a move that a kill left half done
            assert self.registry.champion(MODEL) is None
            return
        there, key, onnx = self.there, release.versions.key, release.versions.onnx
        there.recover(MODEL)
        promoted = there.released(MODEL, key)
        if promoted is None:
            if not self._leaves_intact(release):
                return
            assert (MODEL, onnx.version) not in self.edited
            versions = there.register_once(self.model_there.request(key), self.model_there.log)
            changes = {"versions": versions, "promotion": None, "waiting": False}
            copied = release.model_copy(update={**changes, "verdict": Promoted(reasons=("fast",))})
            promoted = there.promote(copied, self.target, "A release.", ANN, overtakes=force)
            if not isinstance(promoted.verdict, Promoted):
                there.withdraw(versions, promoted.verdict)
            self._send_events(there)
        if isinstance(promoted.verdict, Promoted):
            self.registry.record_promoted(release, "prod", promoted.versions.onnx.version)

    def _leaves_intact(self, release: Release) -> bool:
        """Return whether the files of both wrappers are those that were released."""
        try:
            for each in release.versions.wrappers:
                place = self.registry.copies
                verify(
                    CopyRequest(place=place, name=each.name, version=each.version, kind=each.kind)
                )
        except (ArtifactChanged, VersionRefused, SourceMissing):
            assert self.touched
            return False
        return True

    def _roll_back_there(self) -> None:
        self.there.recover(MODEL)
        self.there.roll_back(MODEL, None, BOB)
        self._send_events(self.there)

    def _clean(self, versions: int) -> None:
        registry, named = self.registry, self.model.aliases()
        found = Inventory(
            at=datetime.now(UTC),
            retention=Retention(versions=versions),
            releases=registry.releases(MODEL),
            logged=model_storage.logged_files(MODEL, registry.location, registry.readers()),
        )
        entry: Any = SimpleNamespace(name=MODEL)
        clean_up.free_model(entry, decide(found), Settings(), ANN)
        assert not self.settled or self.model.aliases() == named

    def _apply_answer(self) -> None:
        """As the task: an answer that cannot be carried out holds up nothing else."""
        try:
            self.registry.apply_answer(MODEL, 48)
        except MoveRefused:
            assert self.touched

    def _reconcile(self) -> None:
        self.there.recover(MODEL)
        self._send_events(self.there)
        self.registry.recover(MODEL)
        self._apply_answer()
        if self.target == "approval":
            self.registry.undo_manual_change(MODEL, needs_approval=True)
        self.registry.record_manual_change(MODEL)
        self._send_events()

    def _send_events(self, registry: WholeRegistry | None = None) -> None:
        registry = registry or self.registry
        for change in registry.pending_events(MODEL):
            registry.mark_event_sent(MODEL, change)

    def _pick(self, kind: WrapperKind, pick: int) -> Any:
        """Return one of the versions of a model; None if it has none."""
        name = registered_name(MODEL, kind)
        found = [each for each in self.client.search_model_versions("") if each.name == name]
        return found[pick % len(found)] if found else None

    def _quarantined(self) -> list[Any]:
        """Return the serving versions that are quarantined."""
        query = f"name = '{MODEL}' AND tags.`{QUARANTINED}` != ''"
        return list(self.client.search_model_versions(query))

    def _pair(self, key: str) -> list[tuple[str, int]]:
        """Return the versions of a release."""
        found = self.client.search_model_versions(f"tags.`{KEY}` = '{key}'")
        return [(each.name, int(each.version)) for each in found]

    def _keys(self, kind: WrapperKind) -> dict[str, str]:
        name = registered_name(MODEL, kind)
        aliases = self.registry.aliases(name).items()
        return {alias: self.registry.tags(name, number)[KEY] for alias, number in aliases}

    def _has_record(self, version: int) -> bool:
        state = self.registry.state(MODEL, version)
        return state is not None and state.release is not None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_promises_hold_through_the_whole_life_of_a_model(tmp_path: Path) -> None:
    """Two hundred lives of thirty steps."""
    numbers = count()
    lives = settings(
        max_examples=200,
        stateful_step_count=30,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )

    run_state_machine_as_test(lambda: WholeLife(tmp_path / str(next(numbers))), settings=lives)
