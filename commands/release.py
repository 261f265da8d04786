"""``slipway release``, ``approve`` and ``rollback``: run the flow of the same name here and now."""

import time
from typing import Literal

from commands import console, existing, prefect_server
from commands.options import OutputFile, Reason, VersionNumber
from slipway import catalogue
from slipway.report import next_steps
from slipway.settings import Settings
from slipway.system import disk
from slipway.tracking import location, pages, read_run
from slipway.tracking.write_run import JUNIT
from slipway.values import Inconclusive, Rejected, Release, pinned


def release(  # noqa: PLR0913 - a command has the options that people need
    model: str,
    *,
    ref: str | None = None,
    recipe: Literal["as in the catalogue", "int4", "int8", "fp32"] = "as in the catalogue",
    reason: Reason | None = None,
    force: bool = False,
    lift_quarantine: bool = False,
    junit: OutputFile | None = None,
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
        force: If the same release exists, log, test and promote it again as a new version. With
            --reason, promote it even if its source is older than the champion's.
        lift_quarantine: If this release is quarantined, remove the quarantine and promote it again,
            without new tests.
        junit: Write the results of prompts, checks and gates to this file as JUnit XML, for CI.
        json: Print the result as JSON.
    """
    settings = Settings()
    prepare(settings, model, quiet=json)
    started = time.monotonic()
    outcome = None if force or lift_quarantine else existing.find(model, ref, recipe, settings)
    if outcome is None:
        from flows.release_model import release_model
        from tasks.lift_quarantine import require_reason

        if lift_quarantine:
            require_reason(model, reason)  # before a Prefect server is started for the flow
        outcome = release_model(
            model,
            ref=ref,
            recipe=recipe,
            reason=reason,
            force=force,
            lift_quarantine=lift_quarantine,
        )
    if junit:
        where = location.mlflow_location(settings)
        results = read_run.artifact(outcome.versions.run_id, JUNIT, where)
        with disk.writing(junit.absolute().parent):
            junit.write_text(results, encoding="utf-8")
    if json:
        console.show(outcome.model_dump(mode="json"))
    else:
        _summary(outcome, time.monotonic() - started, settings)
    return exit_code(outcome)


def approve(model: str, *, reason: Reason, reject: bool = False, json: bool = False) -> int:
    """Approve the version that waits for approval, or reject it.

    Args:
        model: Name of an entry in catalogue.toml.
        reason: Why, for the record.
        reject: Reject the version: it is quarantined, and the champion stays.
        json: Print the result as JSON.
    """
    settings = Settings()
    prepare(settings, model, quiet=json)
    from flows.approve_model import approve_model
    from tasks.approval import waiting

    waiting(model)  # raises before a Prefect server is started for the flow
    outcome = approve_model(model, decision="reject" if reject else "approve", reason=reason)
    if json:
        console.show(outcome.model_dump(mode="json"))
    else:
        _decision(outcome, settings, reason, reject=reject)
    if reject:
        return 0 if isinstance(outcome.verdict, Rejected) else 1
    return exit_code(outcome)


def _decision(outcome: Release, settings: Settings, reason: str, *, reject: bool) -> None:
    """Print what became of a version; another person may have decided about it first."""
    from slipway.registry import open_registry

    model, version = outcome.versions.model, outcome.versions.onnx.version
    rejected = isinstance(outcome.verdict, Rejected)
    word = "rejected" if rejected else "approved"
    pairs = {"version": f"models:/{model}/{version}"}
    if outcome.existed and (found := open_registry(settings).state(model, version)):
        word = f"already {word}"
        pairs |= {"by": found.decided or "unknown", "this answer": "changed nothing"}
    else:
        pairs["reason"] = reason
    if reject and not rejected:
        pairs["to undo it"] = f"slipway rollback {model} --reason TEXT"
    console.facts(f"{model}: {word}", pairs)


def rollback(
    model: str,
    *,
    reason: Reason,
    failed: VersionNumber | None = None,
    to: VersionNumber | None = None,
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
    prepare(settings, model, quiet=json)
    from flows.roll_back import roll_back
    from slipway.registry import open_registry

    registry = open_registry(settings)
    registry.recover(model)  # what a killed process left is no champion
    if failed is None:
        failed = registry.champion(model)
        registry.require_successor(model, failed, to)  # raises before a Prefect server is started
    if failed and not json:
        console.say(f"{model}: rolling back version {failed}")
    change = roll_back(model, reason=reason, failed=failed, to=to)
    if json:
        console.show(change.model_dump(mode="json"))
        return 0
    title = f"{model}: version {change.after} is champion"
    pairs = {"champion": f"models:/{model}/{change.after}", "by": change.audit.actor}
    if change.before is not None:
        title = f"{model}: rolled back from version {change.before} to {change.after}"
        pairs["quarantined"] = f"models:/{model}/{change.before}: {reason}"
        pairs["to lift it"] = f"slipway release {model} --lift-quarantine --reason TEXT"
    console.facts(title, pairs)
    return 0


def prepare(settings: Settings, model: str | None, *, quiet: bool) -> None:
    """Raise what is known before a flow starts, and make Prefect ready for one.

    Args:
        settings: Of this command.
        model: An entry that the catalogue must have; None if it is not known yet.
        quiet: Whether the flow's log, which has the warnings, is kept from the terminal.
    """
    if model and quiet:
        catalogue.find(settings.catalogue, model)
    elif model:
        catalogue.find(settings.catalogue, model, warn=catalogue.ignore)
    where = location.mlflow_location(settings)
    if where.artifacts is None:
        location.require_listener(where.uri)
    console.prepare_prefect(settings, quiet=quiet)
    prefect_server.require(settings)


def exit_code(outcome: Release) -> int:
    """Return 0 for promoted, 3 for rejected by a gate, 4 for inconclusive."""
    if isinstance(outcome.verdict, Rejected):
        return 3
    return 4 if isinstance(outcome.verdict, Inconclusive) else 0


def how_it_ended(outcome: Release, existed: str) -> str:
    """Return how a release ended, in a word or two; ``existed`` if it was there before."""
    if outcome.waiting:
        return "waiting for approval"
    is_promoted = outcome.verdict.kind == "promoted"
    return existed if outcome.existed and is_promoted else outcome.verdict.kind


def _summary(outcome: Release, seconds: float, settings: Settings) -> None:
    versions = outcome.versions
    word = how_it_ended(outcome, "already released")
    pairs = {"verdict": "\n".join(outcome.verdict.brief)}
    for wrapper in versions.wrappers:
        size = console.megabytes(wrapper.size_bytes)
        address = f"models:/{wrapper.model_id}, not registered"
        if outcome.promotion:
            address = wrapper.uri
        pairs[wrapper.kind] = f"{address}  ({wrapper.contract}, {size})"
    source = (pinned(outcome.repo, outcome.commit), outcome.provenance, outcome.variant)
    pairs["source"] = ", ".join(filter(None, source))
    if outcome.promotion:
        previous = outcome.promotion.previous
        aliases = ", ".join(outcome.promotion.aliases) or "none"
        pairs["aliases"] = f"{aliases}; previous champion: {f'v{previous}' if previous else 'none'}"
    if command := next_steps.ask_promoted(versions.model, outcome.promotion):
        pairs["try it"] = command
    if outcome.waiting:
        pairs["approve it"] = f"slipway approve {versions.model} --reason TEXT, or with --reject"
    pairs["report"] = f"report.md of MLflow run {versions.run_id}"
    addresses = [settings.prefect_pages, pages.models(settings.mlflow_pages)]
    pairs["UIs"] = "\n".join(addresses if settings.prefect_api_url else ["slipway ui", *addresses])
    console.say()
    console.facts(f"{versions.model}: {word} in {seconds:.0f} s", pairs)
