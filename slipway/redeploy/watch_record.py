"""What is remembered of a switch that is watched: a file beside the pointer, and the counters.

The file is there from the start of the switch until the watch is over, so a watch continues after
a restart of whatever takes the looks.
"""

from datetime import UTC, datetime
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError

from slipway.errors import Unreachable
from slipway.redeploy import model_server
from slipway.redeploy.switch_watch import WatchedSwitch
from slipway.redeploy.values import ServedFigures
from slipway.serving.metrics import DURATION, FIRST_TOKEN
from slipway.serving.request_record import response_model
from slipway.serving.server_file import Address
from slipway.system.failpoints import failpoint
from slipway.system.store import flush

_SECONDS = 10.0
_FILE = "watch.json"


def begin(folder: Path, model: str, version: int, before: int, headers: dict[str, str]) -> None:
    """Remember a switch that is about to begin, and what the server has counted until now.

    Args:
        folder: The server's folder.
        model: Name of the registered model.
        version: The version that will serve.
        before: The one that serves.
        headers: With the key of the server, where it requires one.

    Raises:
        Unreachable: If the server does not give its figures.
    """
    address = model_server.find(folder)
    if address is None:
        return
    page = _page(address, headers)
    switch = WatchedSwitch(
        model=model,
        version=version,
        before=before,
        at=datetime.now(UTC),
        server=address.pid,
        start=figures_on(page, response_model(model, version)),
        reference=figures_on(page, response_model(model, before)),
    )
    part = folder / f"{_FILE}.part"
    part.write_text(switch.model_dump_json(), encoding="utf-8")
    flush(part)
    failpoint("watch.before-rename")
    part.replace(folder / _FILE)
    failpoint("watch.after-rename")


def pending(folder: Path) -> WatchedSwitch | None:
    """Return the switch that is being watched; None if there is none."""
    try:
        return WatchedSwitch.model_validate_json((folder / _FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def end(folder: Path) -> None:
    """Forget the switch."""
    (folder / _FILE).unlink(missing_ok=True)


def figures_since(folder: Path, switch: WatchedSwitch, headers: dict[str, str]) -> ServedFigures:
    """Return what the new version did since the switch; nothing while no server is running.

    Raises:
        Unreachable: If the server does not give its figures.
    """
    address = model_server.find(folder)
    if address is None:
        return ServedFigures()
    served = response_model(switch.model, switch.version)
    now = figures_on(_page(address, headers), served)
    return now.since(switch.start) if address.pid == switch.server else now


def _page(address: Address, headers: dict[str, str]) -> str:
    """Return the server's page of metrics."""
    url = f"{address.url}/metrics"
    try:
        answer = httpx.get(url, headers=headers, timeout=_SECONDS, trust_env=False)
        return answer.raise_for_status().text
    except httpx.HTTPError as error:
        reason = f"/metrics does not answer: {error}"
        raise Unreachable("the model server", address.url, reason) from error


def figures_on(page: str, served: str) -> ServedFigures:
    """Return what a page of metrics says of the version ``served``, as its label names it."""
    answered = failed = 0
    first_tokens: dict[float, int] = {}
    for family in text_string_to_metric_families(page):
        for name, labels, value, *_ in family.samples:
            if labels.get("gen_ai_response_model") != served:
                continue
            if name == f"{DURATION}_count":
                answered += int(value) if not labels["error_type"] else 0
                failed += int(value) if labels["error_type"].startswith("5") else 0
            elif name == f"{FIRST_TOKEN}_bucket" and labels["le"] != "+Inf":
                edge = float(labels["le"])
                first_tokens[edge] = first_tokens.get(edge, 0) + int(value)
    return ServedFigures(
        answered=answered, failed=failed, first_tokens=tuple(sorted(first_tokens.items()))
    )
