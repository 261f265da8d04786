"""The bill of materials of a release as a file: what its logged model is made of, in CycloneDX.

Every component says how it is known: a file was ``checked against bytes``, a package was
``installed when released``, and what the model's card says of itself is ``claimed``: nobody checks
a claim.
Schema: https://cyclonedx.org/docs/1.6/json/
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import distributions
from typing import Any
from urllib.parse import quote

from packaging.utils import canonicalize_name

from slipway.sources.model_card import CardClaims
from slipway.values import FileEntry
from slipway.values.release_record import RecordedRelease
from slipway.values.sources import DIGEST_OF

#: Name of the file in both logged models.
FILE = "bom.cdx.json"

_EVIDENCE = "slipway:evidence"
_CHECKED, _INSTALLED, _CLAIMED = "checked against bytes", "installed when released", "claimed"


def document(record: RecordedRelease, claims: CardClaims, packages: Mapping[str, str]) -> bytes:
    """Return the file for one wrapper of a release.

    Args:
        record: The wrapper's, with the files that are listed.
        claims: Of the model's card.
        packages: Version of every package of the environment, as ``installed`` returns them.
    """
    datasets = [_dataset(name) for name in claims.datasets]
    parameters = {"datasets": [{"ref": each["bom-ref"]} for each in datasets]}
    components = [*map(_file, record.files), *_packages(packages), *datasets]
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, _identity(record))}",
        "version": 1,
        "metadata": {
            "timestamp": record.at.isoformat(timespec="seconds"),
            "component": _model(record, claims) | {"modelCard": {"modelParameters": parameters}},
        },
        "components": components,
    }
    return json.dumps(bom, indent=1).encode()


@cache
def installed() -> Mapping[str, str]:
    """Return the version of every package of this environment, by its normalized name.

    Reading all of them takes a second, and a process does not install any.
    """
    found = ((each.metadata["Name"], each.version) for each in distributions())
    return {canonicalize_name(name): version for name, version in found if name}


def _identity(record: RecordedRelease) -> str:
    return f"{record.model} {record.key} {record.at.isoformat()}"


def _model(record: RecordedRelease, claims: CardClaims) -> dict[str, Any]:
    """Return the component of the model: its source was resolved, the rest its card claims."""
    source = record.source
    model = _component("machine-learning-model", source.repo, _CHECKED, version=source.commit)
    if not source.commit.startswith(DIGEST_OF):
        model["purl"] = f"pkg:huggingface/{source.repo}@{source.commit}"
    if source.license:
        license_ = {"name": source.license, "acknowledgement": "declared"}
        model["licenses"] = [{"license": license_}]
        model["properties"].append({"name": f"{_EVIDENCE}:licenses", "value": _CLAIMED})
    if claims.base_models:
        bases = [_component("machine-learning-model", n, _CLAIMED) for n in claims.base_models]
        model["pedigree"] = {"ancestors": bases}
    return model


def _file(file: FileEntry) -> dict[str, Any]:
    hashes = [{"alg": "SHA-256", "content": file.sha256}]
    return _component("file", file.path, _CHECKED, hashes=hashes)


def _dataset(name: str) -> dict[str, Any]:
    return _component("data", name, _CLAIMED) | {"bom-ref": f"data:{name}"}


def _packages(packages: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for name, version in sorted(packages.items()):
        purl = f"pkg:pypi/{name}@{quote(version)}"
        yield _component("library", name, _INSTALLED, version=version, purl=purl)


def _component(kind: str, name: str, evidence: str, **fields: Any) -> dict[str, Any]:
    """Return a component, and how it is known."""
    known = [{"name": _EVIDENCE, "value": evidence}]
    return {"type": kind, "name": name, **fields, "properties": known}
