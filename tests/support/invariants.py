"""What holds of a home once a command has run to its end, whatever was killed in it before."""

import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from slipway.errors import StoreDamaged
from slipway.system import store
from slipway.tracking.tag_values import Outcome, VersionTags
from slipway.tracking.tags import KEY, LEASE, PENDING_EVENT, TRANSACTION, WRAPPER
from slipway.values import Promoted, Stored

#: Children notice within a moment that their parent is gone, and then end.
_END_SECONDS = 10.0


def violations(home: Path, client: Any, services: Collection[int] = ()) -> list[str]:
    """Return what of a killed process is still there, a sentence each; empty if all is in order.

    Args:
        home: Where Slipway keeps its state.
        client: MLflow's, of the registry of this home.
        services: Processes of this home that are meant to run, with what they started.
    """
    return [*registry_violations(client), *home_violations(home, services)]


def home_violations(home: Path, services: Collection[int] = ()) -> list[str]:
    """Return what of a killed process is still on this machine, a sentence each."""
    return [*_files(home, services), *_processes(home, services)]


def registry_violations(client: Any) -> list[str]:
    """Return what of a killed process is still in MLflow, a sentence each."""
    registered = client.search_model_versions("")
    return [
        *_models(client, {version.source for version in registered}),
        *_runs(client),
        *_versions(client, registered),
        *_aliases(client),
    ]


def _models(client: Any, sources: set[str]) -> Iterator[str]:
    """A logged model is complete, and a version serves it or a verdict says why none does."""
    for model in client.search_logged_models(_experiments(client), max_results=1000):
        if model.status != "READY":
            yield f"logged model {model.model_id} is {model.status}"
        elif WRAPPER not in model.tags:
            yield f"logged model {model.model_id} is READY and half logged"
        elif f"models:/{model.model_id}" not in sources and not _verdict(
            client, model.source_run_id
        ):
            yield f"logged model {model.model_id} belongs to no version and no verdict"


def _runs(client: Any) -> Iterator[str]:
    """No run is being written, and none is held."""
    for run in client.search_runs(_experiments(client), max_results=1000):
        name = f"run {run.info.run_name} ({run.info.run_id[:8]})"
        if run.info.status == "RUNNING":
            yield f"{name} is RUNNING"
        elif LEASE in run.data.tags and TRANSACTION not in run.data.tags:
            yield f"{name} is held by a lease"


def _versions(client: Any, registered: Collection[Any]) -> Iterator[str]:
    """Every version is released, has a key of its own, and what follows from its state was done."""
    models = client.search_registered_models()
    candidates = {each.name: str(each.aliases.get("candidate")) for each in models}
    seen: set[tuple[str, str]] = set()
    for version in registered:
        name, key = f"version {version.version} of {version.name}", version.tags.get(KEY, "")
        if (version.name, key) in seen:
            yield f"{name} has the key of another one"
        seen.add((version.name, key))
        state = VersionTags.from_tags(version.tags)
        if not state.released:
            yield f"{name} is neither released nor withdrawn"
        if PENDING_EVENT in version.tags:
            yield f"the event of {name} was not sent"
        if state.state == "rejected" and _verdict(client, version.run_id) != "rejected":
            yield f"{name} was rejected, and its run does not say so"
        if state.waiting and str(version.version) != candidates.get(version.name):
            yield f"{name} waits, and nobody is asked about it"


def _aliases(client: Any) -> Iterator[str]:
    """An alias names a release that passed its gates; those of both wrappers name the same one."""
    named: dict[str, dict[str, str]] = {}
    for model in client.search_registered_models():
        pair = named.setdefault(model.name.removesuffix("-transformers"), {})
        for alias, number in model.aliases.items():
            version = client.get_model_version(model.name, number)
            release = VersionTags.from_tags(version.tags).release
            verdict = _verdict(client, version.run_id)
            if release is None or not isinstance(release.verdict, Promoted):
                yield f"{model.name}@{alias} names a version that passed no gate"
            elif verdict != "promoted":
                yield f"{model.name}@{alias} names a version whose run says {verdict}"
            if pair.setdefault(alias, version.tags[KEY]) != version.tags[KEY]:
                yield f"{model.name}@{alias} is of another release than its pair"


def _files(home: Path, services: Collection[int]) -> Iterator[str]:
    """No folder or file of work in progress is left, and every entry of a store is whole."""
    for pattern in ("*.staging", "*.part", "*.partial", "preflight-*", "tmp/*"):
        for left in {*home.rglob(pattern)} - {home / "tmp" / str(pid) for pid in services}:
            yield f"{left.relative_to(home)} is left"
    for manifest in (*home.glob("store/*/manifest.json"), *home.glob("copies/*/*/manifest.json")):
        entry = Stored.model_validate_json(manifest.read_bytes())
        try:
            store.verify(entry.model_copy(update={"folder": manifest.parent / "model"}))
        except StoreDamaged as error:
            yield str(error)


def _processes(home: Path, services: Collection[int]) -> Iterator[str]:
    """Nothing runs for this home but what is meant to."""
    meant = {
        each.pid
        for pid in services
        for each in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))
    }
    deadline = time.monotonic() + _END_SECONDS
    while (left := _running(home, meant)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in left:
        with suppress(psutil.Error):
            yield f"process {process.pid} is running: {' '.join(process.cmdline())}"


def _running(home: Path, meant: set[int]) -> list[psutil.Process]:
    found = psutil.process_iter(["environ", "status"])
    return [
        each
        for each in found
        if (each.info["environ"] or {}).get("SLIPWAY_HOME") == str(home)
        and each.info["status"] != psutil.STATUS_ZOMBIE
        and each.pid not in meant | {psutil.Process().pid}
    ]


def _verdict(client: Any, run_id: str) -> str | None:
    return Outcome.from_tags(client.get_run(run_id).data.tags).verdict


def _experiments(client: Any) -> list[str]:
    return [each.experiment_id for each in client.search_experiments()]
