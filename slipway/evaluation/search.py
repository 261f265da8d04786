"""A search recipe → the candidates that were found, the best first.

The divergence of each group of layers in int4 is measured once, on the source itself. Artifacts are
then built along the line of size against divergence, and compared with the source as every other
candidate is: what was estimated only says where to look. Everything is kept by content, so the same
search is read from the store, and one that was interrupted builds nothing twice.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import TypeAdapter

from slipway import keys
from slipway.build import artifacts, products
from slipway.errors import NothingBuilt
from slipway.evaluation import fidelity, gates, sensitivity
from slipway.evaluation.frontier import Frontier, Measured, next_number, within_size
from slipway.evaluation.texts import texts_digest
from slipway.system.call import call
from slipway.system.workspace import Workspace
from slipway.values import (
    Artifact,
    Calibration,
    Entry,
    Estimate,
    Evaluation,
    Fidelity,
    Figures,
    GateLimits,
    Gates,
    Quantization,
    QuantizeRecipe,
    SearchRecipe,
    Text,
    Value,
    Weights,
)

_FOUND = "found.json"
_COSTS = TypeAdapter(dict[str, float])


def find(
    entry: Entry,
    weights: Weights,
    texts: tuple[Text, ...],
    workspace: Workspace,
    calibration: Calibration | None = None,
) -> Entry:
    """Return the entry with the candidates that its search found, and its limit as a gate.

    An entry whose recipe is no search is returned as it is.

    Args:
        entry: The catalogue's entry.
        weights: Its checkpoint.
        texts: On which candidates are compared with it.
        workspace: Where.
        calibration: What the method reads, if it is one that calibrates.

    Raises:
        NothingBuilt: If not even the artifact in int8 can be built and measured.
    """
    recipe = entry.recipe
    if not isinstance(recipe, SearchRecipe):
        return entry
    limits = _limits(entry.gates, recipe)
    run = _Search(recipe, limits, weights, texts, workspace, calibration)

    read = texts_digest(texts)
    key = keys.search_key(weights, recipe, limits, read, workspace.tools, calibration)
    stored = workspace.store.make(key, lambda into: _keep(run.found(), into))
    found = QuantizeRecipe.model_validate_json((stored.folder / _FOUND).read_bytes())
    workspace.progress(1.0, f"the best of {len(found.candidates)}: {found.candidates[0].variant}")
    return entry.model_copy(update={"recipe": found, "gates": limits})


def _keep(value: Value, into: Path) -> None:
    (into / _FOUND).write_text(value.model_dump_json(), encoding="utf-8")


def _limits(limits: Gates, recipe: SearchRecipe) -> Gates:
    if recipe.max_kl is not None:
        limit = (limits.kl_mean or GateLimits()).model_copy(update={"max": recipe.max_kl})
        return limits.model_copy(update={"kl_mean": limit})
    assert recipe.max_size_mb is not None  # noqa: S101 - a search has one of the two
    size = (limits.size_bytes or GateLimits()).model_copy(update={"max": recipe.max_size_mb * 1e6})
    return limits.model_copy(update={"size_bytes": size})


@dataclass(frozen=True)
class _Search:
    recipe: SearchRecipe
    limits: Gates
    weights: Weights
    texts: tuple[Text, ...]
    workspace: Workspace
    calibration: Calibration | None

    def found(self) -> QuantizeRecipe:
        """Return what was built; first those that keep the limit."""
        reading = fidelity.read_source(self.weights, self.texts, self._part(0))
        largest = self._built(self.recipe.candidates[0], reading, 1)
        if isinstance(largest, str):
            raise NothingBuilt((largest,))
        artifact, first = largest
        frontier = self._frontier(artifact, reading)
        known = {0: first}
        while len(known) < self.recipe.max_builds:
            number = self._next(frontier, known)
            if number is None or number in known:
                break
            built = self._built(frontier.candidate(number), reading, len(known) + 2)
            if isinstance(built, str):
                break
            known[number] = built[1]
        best = sorted(known, key=lambda number: self._rank(known[number]))
        return QuantizeRecipe(
            candidates=tuple(frontier.candidate(number) for number in best), prefer="first"
        )

    def _rank(self, built: Measured) -> tuple[bool, float]:
        by_size = self.recipe.max_kl is not None
        return not built.meets, built.size_bytes if by_size else built.divergence

    def _next(self, frontier: Frontier, known: dict[int, Measured]) -> int | None:
        if self.recipe.max_kl is not None:
            return next_number(frontier, known, self.recipe.max_kl)
        if self.recipe.max_size_mb is None or any(each.meets for each in known.values()):
            return None
        last = max(known)
        return within_size(frontier, last, known[last].size_bytes, self.recipe.max_size_mb * 1e6)

    def _frontier(self, artifact: Artifact, reading: fidelity.ReferenceReading) -> Frontier:
        groups = sensitivity.groups(products.read(artifact.stored.folder))
        request = sensitivity.SensitivityRequest(
            weights=self.weights.stored.folder,
            reading=reading.stored.folder,
            groups=groups,
            block_size=self.recipe.block_size,
        )

        def fill(into: Path) -> None:
            progress = self._part(2).progress
            costs = call(
                sensitivity.measure,
                request,
                self.workspace.limits,
                step="read source",
                progress=progress,
            ).value
            (into / _FOUND).write_bytes(_COSTS.dump_json(costs))

        key = keys.costs_key(reading.stored.key, groups, self.recipe.block_size)
        stored = self.workspace.store.make(key, fill)
        costs = _COSTS.validate_json((stored.folder / _FOUND).read_bytes())
        return Frontier(self.recipe, groups, costs)

    def _built(
        self, candidate: Quantization, reading: fidelity.ReferenceReading, place: int
    ) -> tuple[Artifact, Measured] | str:
        """Build and measure a candidate; a text is the reason why that was not possible."""
        workspace = self._part(place)
        recipe = QuantizeRecipe(candidates=(candidate,))
        [built] = artifacts.build(self.weights, recipe, workspace.part(0, 2), self.calibration)
        if built.artifact is None:
            return built.reason or candidate.variant
        close = self._compared(built.artifact, reading, workspace.part(1, 2))
        if isinstance(close, str) or close.kl_mean is None:
            return close if isinstance(close, str) else f"{candidate.variant} has no figures"
        evaluation = Evaluation(built=built, fidelity=close, speed=None)
        size_bytes = built.artifact.stored.size_bytes
        found = Measured(close.kl_mean.high, size_bytes, self._meets(evaluation))
        news = f"{size_bytes / 1e6:.0f} MB, {close.kl_mean.value:.4f} nats"
        workspace.progress(None, f"{candidate.variant}: {news}")
        return built.artifact, found

    def _compared(
        self, artifact: Artifact, reading: fidelity.ReferenceReading, workspace: Workspace
    ) -> Fidelity | str:
        key = keys.comparison_key(artifact.stored.key, reading.stored.key)
        if known := workspace.store.find(key):
            return Fidelity.model_validate_json((known.folder / _FOUND).read_bytes())
        close = fidelity.measure(artifact, reading, workspace)
        if isinstance(close, Fidelity):
            workspace.store.make(key, partial(_keep, close))
        return close

    def _meets(self, evaluation: Evaluation) -> bool:
        figures = evaluation.figures
        if self.recipe.max_size_mb is not None:
            return figures["size_bytes"].value <= self.recipe.max_size_mb * 1e6
        limits = gates.limits_for(self.limits, evaluation.built.precision)
        known = {metric: limit for metric, limit in limits.items() if metric in figures}
        source: Figures = {"size_bytes": Estimate.exact(self.weights.stored.size_bytes)}
        results = gates.weigh(known, figures, source=source, champion=None)
        return not any(each.blocks for each in results)

    def _part(self, place: int) -> Workspace:
        return self.workspace.part(place, self.recipe.max_builds + 2)
