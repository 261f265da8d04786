"""``slipway release``: the main job."""

import time
from typing import Literal

from commands import console
from slipway import catalogue
from slipway.settings import Settings
from slipway.tracking import location
from slipway.values import Inconclusive, Rejected, Release


def release(  # noqa: PLR0913 - a command has the options that people need
    model: str,
    *,
    ref: str | None = None,
    recipe: Literal["as in the catalogue", "int4", "int8", "fp32"] = "as in the catalogue",
    reason: str | None = None,
    force: bool = False,
    lift_quarantine: bool = False,
    json: bool = False,
) -> int:
    """Release a model end to end: download, quantize or select, log, smoke-test, promote.

    Args:
        model: Name of an entry in catalogue.toml; `slipway models` lists them.
        ref: Branch, tag or commit of its repository on the Hub, instead of the catalogue's.
        recipe: What to build: as in the catalogue, or one precision alone.
        reason: Why, for the record; a lifted quarantine needs one.
        force: Log, test and promote it once more, as a new version, although it is there already.
        lift_quarantine: Let this release serve again although it was rolled back or rejected.
        json: Print the result as JSON, and nothing else.
    """
    settings = Settings()
    prepare(settings, model, quiet=json)
    started = time.monotonic()

    from flows.release_model import release_model

    console.shorten_errors()
    outcome = release_model(
        model,
        ref=ref,
        recipe=recipe,
        reason=reason,
        force=force,
        lift_quarantine=lift_quarantine,
    )
    if json:
        console.show(outcome.model_dump(mode="json"))
    else:
        _summary(outcome, time.monotonic() - started, settings)
    return exit_code(outcome)


def prepare(settings: Settings, model: str, *, quiet: bool) -> None:
    """Tell what can be told before anything starts, and make Prefect ready for a flow."""
    catalogue.find(settings.catalogue, model)
    if settings.registry.startswith("http"):
        location.require_listener(settings.registry)
    console.prepare_prefect(settings, quiet=quiet)


def exit_code(outcome: Release) -> int:
    """Return 0 for promoted, 3 for rejected by a gate, 4 for inconclusive."""
    if isinstance(outcome.verdict, Rejected):
        return 3
    return 4 if isinstance(outcome.verdict, Inconclusive) else 0


def _summary(outcome: Release, seconds: float, settings: Settings) -> None:
    candidate = outcome.versions
    word: str = outcome.verdict.kind
    if outcome.waiting:
        word = "waiting for approval"
    elif outcome.existed and outcome.verdict.kind == "promoted":
        word = "already released"
    pairs = {"verdict": "; ".join(outcome.verdict.reasons)}
    for wrapper in candidate.wrappers:
        size = console.megabytes(wrapper.size_bytes)
        address = (
            wrapper.uri if outcome.promotion else f"models:/{wrapper.model_id}, not registered"
        )
        pairs[wrapper.kind] = f"{address}  ({wrapper.contract}, {size})"
    pairs["source"] = f"{outcome.repo}@{outcome.commit[:8]}, {outcome.variant}"
    if outcome.promotion:
        before = outcome.promotion.previous
        moved = ", ".join(outcome.promotion.aliases)
        pairs["aliases"] = f"{moved}; champion before: {f'v{before}' if before else 'none'}"
        pairs["ask it"] = f'slipway predict {candidate.model} "What is the capital of Spain?"'
    if outcome.waiting:
        pairs["approve it"] = f"slipway approve {candidate.model} --reason TEXT, or --reject"
    pairs["report"] = f"report.md of MLflow run {candidate.run_id}"
    pairs["look"] = f"slipway ui  ({settings.prefect_url}, {settings.mlflow_url})"
    print()
    console.facts(f"{candidate.model}: {word} in {seconds:.0f} s", pairs)
