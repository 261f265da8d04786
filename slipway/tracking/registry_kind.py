"""What registry an address names, how names and tags read there, and what it lacks. Pure.

Unity Catalog restricts names and tags: https://docs.databricks.com/en/database-objects/tags.html
"""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from itertools import count, takewhile
from typing import Literal

RegistryKind = Literal["MLflow", "Unity Catalog", "Databricks", "Unity Catalog OSS", "Azure ML"]

#: By the scheme of an address; every other one is of a server or a database of MLflow's own.
_KINDS: Mapping[str, RegistryKind] = {
    "databricks-uc": "Unity Catalog",
    "databricks": "Databricks",
    "uc": "Unity Catalog OSS",
    "azureml": "Azure ML",
}

#: Why runs and files cannot be there.
_NO_RUNS: Mapping[RegistryKind, str] = {
    "Azure ML": "it has no logged models of MLflow 3, and its plugin requires MLflow 3.15 or older",
    "Databricks": "it names experiments by paths of a workspace, and Slipway by the model",
}
#: Why versions cannot be there.
_NO_VERSIONS: Mapping[RegistryKind, str] = {
    "Azure ML": "it registers only what was logged in its own workspace",
    "Databricks": "the workspace's registry has no aliases",
    "Unity Catalog OSS": "it has no aliases and no tags",
}

#: What users of Unity Catalog do without, or do otherwise.
MISSING_IN_UNITY_CATALOG = (
    "no search by tag: each search reads every version of a model",
    "no webhook for changed aliases: only the schedule notices them",
    "`slipway up` finds no first champion: start `slipway serve MODEL`",
    "roles of `slipway users` count in MLflow alone: grant privileges in Databricks too",
    "its copy of the files has no release record and no signature: Slipway reads MLflow's",
)

_LONGEST_VALUE = 1000  # characters
_OURS = "slipway__"
_PART = "__PART"  # in the name of a part of a long value; our names are in lower case


def kind_of(address: str) -> RegistryKind:
    """Return what kind of registry is at an address of MLflow's."""
    return _KINDS.get(address.partition(":")[0], "MLflow")


def obstacle(tracking: str, registry: str, schema: str) -> tuple[str, str] | None:
    """Return why nothing can be released there, and what to do; None if it can be.

    Args:
        tracking: Address of runs and files.
        registry: Address of versions and aliases; empty for that of the runs.
        schema: Of Unity Catalog, as ``CATALOG.SCHEMA``.
    """
    runs, versions = kind_of(tracking), kind_of(registry)
    if runs != "MLflow":
        reason = _NO_RUNS.get(runs, "it is a registry alone")
        reason = f"runs and files cannot be in {runs} ({reason})"
        return reason, "set MLFLOW_TRACKING_URI to an MLflow server"
    if versions == "MLflow":
        return None
    if versions != "Unity Catalog":
        reason = f"versions cannot be in {versions} ({_NO_VERSIONS[versions]})"
        return reason, "unset MLFLOW_REGISTRY_URI, or set it to databricks-uc"
    if not tracking.startswith("http"):
        reason = "versions in Unity Catalog need an MLflow server for runs and files"
        return reason, "set MLFLOW_TRACKING_URI to one"
    if not schema:
        reason = "models in Unity Catalog have names of three parts"
        return reason, "set SLIPWAY_REGISTRY_SCHEMA to CATALOG.SCHEMA"
    return None


def name_there(name: str, schema: str) -> str:
    """Return what Unity Catalog calls one of our registered models, whose names have no ``_``."""
    return f"{schema}.{name.replace('.', '_')}"


def name_here(full_name: str) -> str:
    """Return what we call a registered model of Unity Catalog."""
    return full_name.rpartition(".")[2].replace("_", ".")


def tags_there(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags of ours as Unity Catalog allows them: no dots or hyphens, and short values.

    A long value is in parts. Its own tag comes after them and says which they are, so a value that
    replaces another is there as a whole or not at all.
    """
    named = ((tag_there(tag), value) for tag, value in tags.items())
    return {part: text for name, value in named for part, text in _parts(name, value)}


def tags_here(found: Mapping[str, str]) -> dict[str, str]:
    """Return what tags in Unity Catalog say, under our names; those of others stay as they are."""
    ours = (name for name in found if name.startswith(_OURS) and _PART not in name)
    foreign = {name: text for name, text in found.items() if not name.startswith(_OURS)}
    return foreign | {_tag_here(name): _whole(found, name) for name in ours}


def tag_there(tag: str) -> str:
    """Return what Unity Catalog calls a tag of ours."""
    return tag.replace(".", "__").replace("-", "___")


def is_part(name: str, tag: str) -> bool:
    """Return whether a tag in Unity Catalog is one of ours, or a part of it."""
    return name == tag_there(tag) or name.startswith(f"{tag_there(tag)}{_PART}")


def _tag_here(name: str) -> str:
    return name.replace("___", "-").replace("__", ".")


def _parts(name: str, value: str) -> Iterator[tuple[str, str]]:
    if len(value) <= _LONGEST_VALUE and not value.startswith(_PART):
        yield name, value
        return
    mark = f"{_PART}_{sha256(value.encode()).hexdigest()[:8]}_"
    for number, start in enumerate(range(0, len(value), _LONGEST_VALUE), 1):
        yield f"{name}{mark}{number}", value[start : start + _LONGEST_VALUE]
    yield name, mark


def _whole(found: Mapping[str, str], name: str) -> str:
    """Return the value of a tag; one in parts names them."""
    if not found[name].startswith(_PART):
        return found[name]
    parts = (found.get(f"{name}{found[name]}{number}", "") for number in count(1))
    return "".join(takewhile(bool, parts))
