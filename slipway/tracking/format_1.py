"""The reader of format 1: what earlier versions of Slipway wrote, as format 2 says it. Pure.

Whatever has no tag ``slipway.format`` is of format 1: tags of versions, runs and experiments, and
the manifest of a release. What is of format 2 already comes back as it was.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from slipway.tracking import tags as names

_VERDICTS = {
    "promote": "promoted",
    "keep": "rejected",
    "chosen": "selected",
    "refused": "failed",
    "in doubt": "inconclusive",
}
_TRANSACTION = {"cause": "audit", "marks": "tag_changes", "tags": "run_tags"}
_TAGS = {
    "slipway.contender": names.CANDIDATE,
    "slipway.licence": names.LICENSE,
    "slipway.transfer": names.TRANSACTION,
}


def upgrade(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a version, a run or an experiment in format 2."""
    renamed = {_TAGS.get(name, name): value for name, value in tags.items()}
    if names.FORMAT in tags:
        return renamed
    unchanged: Callable[[str], str] = str
    return {name: _VALUES.get(name, unchanged)(value) for name, value in renamed.items()}


def upgrade_manifest(document: dict[str, Any]) -> dict[str, Any]:
    """Return the ``manifest.json`` of a release in format 2."""
    return _rename(document, {"licence": "license"})


def _release(text: str) -> str:
    release = _rename(json.loads(text), {"candidate": "versions"})
    kind = release["verdict"]["kind"]
    release["verdict"]["kind"] = _VERDICTS.get(kind, kind)
    return json.dumps(release)


def _transaction(text: str) -> str:
    return json.dumps(_rename(json.loads(text), _TRANSACTION))


def _last_seen(text: str) -> str:
    seen = json.loads(text)
    return json.dumps({**seen, "revision": upgrade_manifest(seen["revision"])})


def _verdict(text: str) -> str:
    return _VERDICTS.get(text, text)


def _rename(document: dict[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    return {fields.get(name, name): value for name, value in document.items()}


_VALUES: dict[str, Callable[[str], str]] = {
    names.RELEASE: _release,
    names.TRANSACTION: _transaction,
    names.UNDO: _transaction,
    names.LAST_SEEN: _last_seen,
    names.VERDICT: _verdict,
}
