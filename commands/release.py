"""``slipway release``, ``approve`` and ``rollback``: run the flow of the same name here and now."""

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
        ref: Branch, tag or commit of the model's repository on the Hub. Default: the `ref` in the
            catalogue.
        recipe: Candidates to build: `as in the catalogue` for those of the model's recipe, or one
            precision for a single candidate, quantized with default options.
        reason: Why you start this release, for the record. Required with --lift-quarantine.
        force: If the same release exists, log, test and promote it again as a new version.
        lift_quarantine: If this release is quarantined, remove the quarantine and promote it again,
            without new tests.
        json: Print the result as JSON.
    """
    settings = Settings()
    _prepare(settings, model, quiet=json)
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
    return _exit_code(outcome)


def approve(model: str, *, reason: str, reject: bool = False, json: bool = False) -> int:
    """Approve the version that waits for approval, or reject it.

    Args:
        model: Name of an entry in catalogue.toml.
        reason: Why, for the record.
        reject: Reject the version: it is quarantined, and the champion stays.
        json: Print the result as JSON.
    """
    _prepare(Settings(), model, quiet=json)
    from flows.approve_model import approve_model

    console.shorten_errors()
    outcome = approve_model(model, decision="reject" if reject else "approve", reason=reason)
    if json:
        console.show(outcome.model_dump(mode="json"))
    else:
        word = "rejected" if outcome.promotion is None else "approved"
        address = f"models:/{model}/{outcome.versions.onnx.version}"
        console.facts(f"{model}: {word}", {"version": address, "reason": reason})
    return 0 if reject else _exit_code(outcome)


def rollback(
    model: str,
    *,
    reason: str,
    failed: int | None = None,
    to: int | None = None,
    json: bool = False,
) -> int:
    """Restore the previous champion, and quarantine the version that failed.

    Args:
        model: Name of an entry in catalogue.toml.
        reason: What went wrong, for the record.
        failed: Version that failed. Default: the current champion. If this version is not the
            champion, nothing is changed.
        to: Version to restore. Default: the version with the alias `previous`.
        json: Print the result as JSON.
    """
    settings = Settings()
    _prepare(settings, model, quiet=json)
    from flows.roll_back import roll_back
    from slipway.registry import open_registry

    console.shorten_errors()
    failed = failed or open_registry(settings).champion(model)
    if failed and not json:
        print(f"{model}: rolling back version {failed}", flush=True)
    change = roll_back(model, reason=reason, failed=failed, to=to)
    if json:
        console.show(change.model_dump(mode="json"))
        return 0
    console.facts(
        f"{model}: rolled back from version {change.before} to {change.after}",
        {
            "champion": f"models:/{model}/{change.after}",
            "quarantined": f"models:/{model}/{change.before}: {reason}",
            "by": change.audit.actor,
            "to lift it": f"slipway release {model} --lift-quarantine --reason TEXT",
        },
    )
    return 0


def _prepare(settings: Settings, model: str, *, quiet: bool) -> None:
    """Raise what is known before a flow starts, and make Prefect ready for one."""
    catalogue.find(settings.catalogue, model)
    if settings.registry.startswith("http"):
        location.require_listener(settings.registry)
    console.prepare_prefect(settings, quiet=quiet)


def _exit_code(outcome: Release) -> int:
    """Return 0 for promoted, 3 for rejected by a gate, 4 for inconclusive."""
    if isinstance(outcome.verdict, Rejected):
        return 3
    return 4 if isinstance(outcome.verdict, Inconclusive) else 0


def _summary(outcome: Release, seconds: float, settings: Settings) -> None:
    versions = outcome.versions
    word: str = outcome.verdict.kind
    if outcome.waiting:
        word = "waiting for approval"
    elif outcome.existed and outcome.verdict.kind == "promoted":
        word = "already released"
    pairs = {"verdict": "; ".join(outcome.verdict.reasons)}
    for wrapper in versions.wrappers:
        size = console.megabytes(wrapper.size_bytes)
        address = f"models:/{wrapper.model_id}, not registered"
        if outcome.promotion:
            address = wrapper.uri
        pairs[wrapper.kind] = f"{address}  ({wrapper.contract}, {size})"
    pairs["source"] = f"{outcome.repo}@{outcome.commit[:8]}, {outcome.variant}"
    if outcome.promotion:
        previous = outcome.promotion.previous
        aliases = ", ".join(outcome.promotion.aliases)
        pairs["aliases"] = f"{aliases}; previous champion: {f'v{previous}' if previous else 'none'}"
        pairs["try it"] = f'slipway predict {versions.model} "What is the capital of Spain?"'
    if outcome.waiting:
        pairs["approve it"] = f"slipway approve {versions.model} --reason TEXT, or with --reject"
    pairs["report"] = f"report.md of MLflow run {versions.run_id}"
    pairs["UIs"] = f"slipway ui  ({settings.prefect_url}, {settings.mlflow_url})"
    print()
    console.facts(f"{versions.model}: {word} in {seconds:.0f} s", pairs)
