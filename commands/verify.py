"""``slipway verify``: is a version what was released, and who signed it; it changes nothing."""

from commands import console
from commands.options import chosen_version
from slipway import catalogue
from slipway.settings import Settings
from slipway.tracking.verification import Verification, examine
from slipway.tracking.verified_copy import CopyRequest
from slipway.values import pinned

_SIGNATURES = {
    "valid": "valid, signed by {by}",
    "not checked": "not checked: set SLIPWAY_VERIFY_KEY, or SLIPWAY_VERIFY_IDENTITY",
    "none": "none",
}


def verify(model: str, version: int | None = None, *, json: bool = False) -> int:
    """Check every file of both wrappers of a version, its record and its signature.

    Args:
        model: Name of an entry in catalogue.toml.
        version: A version of it. Default: the champion.
        json: Print the result as JSON.
    """
    settings = Settings()
    catalogue.find(settings.catalogue, model)
    found = tuple(map(examine, _requests(model, version, settings)))
    if json:
        console.show([each.model_dump(mode="json") for each in found])
    else:
        for each in found:
            _show(each)
    return 1 if any(each.fault for each in found) else 0


def _requests(model: str, version: int | None, settings: Settings) -> tuple[CopyRequest, ...]:
    """Return both wrappers of a version; where no key is set, this home's own verifies them."""
    number = chosen_version(model, version, settings)
    from slipway.registry import open_registry

    _, own = settings.own_signing_keys
    if settings.verifier is None and own.is_file():
        settings = settings.model_copy(update={"verify_key": own})
    return open_registry(settings).copies_of(model, number)


def _show(found: Verification) -> None:
    title = f"{found.name} v{found.version} ({found.wrapper})"
    if found.fault:
        console.facts(title, {"result": f"REFUSED: {found.fault}"})
        return
    size = console.megabytes(found.size_bytes)
    facts = {"files": f"{found.files}, {size}, as released", "record": "none"}
    if record := found.record:
        source = pinned(record.source.repo, record.source.commit)
        facts["record"] = f"{record.verdict.kind}: {'; '.join(record.verdict.reasons)}"
        facts["release"] = f"{record.variant} of {source}, key {record.key[:16]}"
        facts["started"] = f"{record.at:%Y-%m-%d %H:%M} UTC, {record.started.actor}"
    facts["signature"] = _SIGNATURES[found.signature].format(by=found.signed_by)
    console.facts(title, facts)
