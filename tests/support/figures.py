"""The figures that docs/serving.md lists, and those that the Grafana board shows."""

import json
import re
from typing import Any

from slipway.settings import PROJECT

BOARD: dict[str, Any] = json.loads(
    (PROJECT / "deployments" / "grafana.json").read_text(encoding="utf-8")
)


def documented() -> dict[str, set[str]]:
    """Return the labels of each figure in the table of docs/serving.md, as /metrics names it."""
    page = (PROJECT / "docs" / "serving.md").read_text(encoding="utf-8")
    _, _, section = page.partition("## Metrics\n")
    rows = re.findall(r"^\| `((?:gen_ai|slipway)\w+)` \|[^|]*\|([^|]*)\|", section, re.MULTILINE)
    return {
        name.removesuffix("_total"): set(re.findall(r"`(\w+)`", labels)) for name, labels in rows
    }


def expressions() -> list[str]:
    """Return every PromQL expression of the board, of its variables too."""
    panels = [target["expr"] for panel in BOARD["panels"] for target in panel.get("targets", [])]
    return [
        *panels,
        *(each["query"] for each in BOARD["templating"]["list"] if "(" in each["query"]),
    ]
