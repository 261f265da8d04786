"""A Hub, a catalogue that follows it, and the deployment that a watch starts releases with."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from slipway.values import Release, WatchResult
from tests.support import summaries
from tests.support.acme_models import NEEDED
from tests.support.hub import LocalHub, RunningHub
from tests.support.project import PROJECT

ENTRY = """\
[models.{name}]
title = "{name}"
source = {{ kind = "hub", repo = "acme/{name}", endpoint = "{endpoint}" }}
recipe = {{ kind = "quantize", candidates = [{{ precision = "int8" }}] }}
licenses = ["mit"]
"""


@dataclass(frozen=True)
class HubProject:
    """Models on a Hub, followed by a catalogue.

    Attributes:
        folder: Holds all of it.
        hub: Where models are pushed to.
        running: The same, as it is reached.
    """

    folder: Path
    hub: LocalHub
    running: RunningHub

    @property
    def catalogue(self) -> Path:
        """The catalogue."""
        return self.folder / "catalogue.toml"

    def follow(self, **security: Any) -> str:
        """Put one more model on the Hub and into the catalogue; return its name."""
        name = f"model-{uuid.uuid4().hex[:8]}"
        self.hub.push(f"acme/{name}", NEEDED)
        if security:
            self.hub.configure(f"acme/{name}", **security)
        with self.catalogue.open("a", encoding="utf-8") as file:
            file.write(ENTRY.format(name=name, endpoint=self.running.endpoint))
        return name

    def push(self, name: str, **changes: bytes) -> str:
        """Push other files; a dot in a path is written as two underscores."""
        files = {path.replace("__", "."): content for path, content in changes.items()}
        return self.hub.push(f"acme/{name}", NEEDED | files)

    def see(self, *names: str) -> tuple[WatchResult, ...]:
        """Run the watch."""
        from flows.watch_sources import watch_sources

        return watch_sources(list(names) or None)

    def runs(self, name: str) -> list[Any]:
        """Return the flow runs that release a model, oldest first."""
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.filters import FlowFilter, FlowFilterName

        with get_client(sync_client=True) as client:
            found = client.read_flow_runs(
                flow_filter=FlowFilter(name=FlowFilterName(any_=["release-model"])), limit=200
            )
        return sorted(
            (run for run in found if run.parameters["model"] == name), key=lambda run: run.created
        )

    def end(self, run: Any, how: str) -> None:
        """Set a flow run's state, as a worker that does the work would."""
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.objects import State, StateType

        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run.id, State(type=StateType(how)), force=True)

    def record_release(self, name: str, key: str, **tags: str) -> None:
        """Write into the registry what a finished release leaves there."""
        from tasks.context import registry

        candidate = summaries.candidate()
        serving = candidate.onnx.model_copy(update={"name": name, "version": 1})
        release = Release(
            versions=candidate.model_copy(update={"model": name, "onnx": serving}),
            repo=f"acme/{name}",
            commit="0" * 40,
            variant="int8",
            verdict={"kind": "promoted", "reasons": ["all is well"]},
            promotion=None,
        )
        client = registry().client
        client.create_registered_model(name)
        details = {"slipway.status": "released", "slipway.release": release.model_dump_json()}
        source = str(self.folder / "home" / "mlflow" / "artifacts")
        client.create_model_version(name, source, tags={"slipway.key": key, **details, **tags})

    def record_refusal(self, name: str, key: str, reason: str) -> None:
        """Write into a run what a candidate that a gate kept leaves there."""
        from tasks.context import registry

        client = registry().client
        experiment = client.get_experiment_by_name(name).experiment_id
        verdict = {"slipway.verdict": "rejected", "slipway.reasons": reason}
        client.create_run(experiment, tags={"slipway.key": key, **verdict})

    def remembered(self, name: str) -> dict[str, Any]:
        """Return what MLflow remembers of the last look."""
        from tasks.context import registry

        found = registry().client.get_experiment_by_name(name)
        return dict(json.loads(found.tags["slipway.watched"]))


@contextmanager
def opened(folder: Path) -> Iterator[HubProject]:
    """Open a hub_project with one model, to which Slipway's settings point."""
    hub = LocalHub(folder / "hub")
    with pytest.MonkeyPatch.context() as patch, hub.serve() as running:
        _settle(folder, patch)
        place = HubProject(folder, hub, running)
        place.follow()
        _deploy()
        yield place


def _settle(folder: Path, patch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(constants, "HF_TOKEN_PATH", str(folder / "no token"))
    patch.delenv("HF_TOKEN", raising=False)
    patch.setenv("SLIPWAY_HOME", str(folder / "home"))
    patch.setenv("SLIPWAY_CATALOGUE", str(folder / "catalogue.toml"))
    patch.setenv("SLIPWAY_EXPECTATIONS", str(PROJECT / "expectations"))
    patch.chdir(folder)


def _deploy() -> None:
    """Make the deployment; no worker takes its runs, so that they can be counted in peace."""
    from flows.release_model import release_model

    release_model.to_deployment("release-model").apply()
