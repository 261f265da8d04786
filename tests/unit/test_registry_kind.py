"""What an address says of a registry, and how our names read in Unity Catalog."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import CatalogueInvalid, RegistryUnsupported
from slipway.settings import Settings
from slipway.tracking import tags
from slipway.tracking.location import mlflow_location
from slipway.tracking.registry_kind import (
    is_part,
    kind_of,
    name_here,
    name_there,
    obstacle,
    tag_there,
    tags_here,
    tags_there,
)
from tests.unit.test_console import slipway

AZURE = "azureml://westeurope.api.azureml.ms/mlflow/v1.0/subscriptions/s"
SERVER = "https://mlflow.example"
OURS = sorted(
    value
    for name, value in vars(tags).items()
    if name.isupper() and isinstance(value, str) and value.startswith("slipway.")
)
NAMES = st.from_regex(r"[a-z0-9][a-z0-9.-]*", fullmatch=True)
ENVIRONMENTS = st.from_regex(r"[a-z0-9][a-z0-9-]*", fullmatch=True)
TAGS = st.sampled_from(OURS) | ENVIRONMENTS.map(lambda name: f"{tags.PROMOTED_TO}.{name}")


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("", "MLflow"),
        (SERVER, "MLflow"),
        ("sqlite:////home/ann/mlflow.db", "MLflow"),
        ("/srv/databricks/mlruns", "MLflow"),
        ("databricks-uc", "Unity Catalog"),
        ("databricks-uc://a-profile", "Unity Catalog"),
        ("databricks", "Databricks"),
        ("databricks://a-profile", "Databricks"),
        ("uc:http://127.0.0.1:8080", "Unity Catalog OSS"),
        (AZURE, "Azure ML"),
    ],
)
def test_an_address_says_what_is_there(address: str, kind: str) -> None:
    """By its scheme, as MLflow's client chooses a store."""
    assert kind_of(address) == kind


@pytest.mark.parametrize(
    ("tracking", "registry", "schema"),
    [
        (SERVER, "", ""),
        ("sqlite:////home/ann/mlflow.db", "", "main.models"),
        (SERVER, SERVER, ""),
        (SERVER, "databricks-uc", "main.models"),
    ],
)
def test_a_release_can_be_recorded(tracking: str, registry: str, schema: str) -> None:
    """At MLflow's own servers and databases, and with versions in Unity Catalog."""
    assert obstacle(tracking, registry, schema) is None


@pytest.mark.parametrize(
    ("tracking", "registry", "schema", "found", "remedy"),
    [
        (AZURE, "", "", "no logged models of MLflow 3", "MLFLOW_TRACKING_URI"),
        ("databricks", "databricks-uc", "main.models", "paths", "MLFLOW_TRACKING_URI"),
        ("databricks-uc", "", "main.models", "a registry alone", "MLFLOW_TRACKING_URI"),
        (SERVER, AZURE, "", "its own workspace", "MLFLOW_REGISTRY_URI"),
        (SERVER, "databricks", "", "no aliases", "MLFLOW_REGISTRY_URI"),
        (SERVER, "uc:http://127.0.0.1:8080", "", "no aliases and no tags", "MLFLOW_REGISTRY_URI"),
        (SERVER, "databricks-uc", "", "three parts", "SLIPWAY_REGISTRY_SCHEMA"),
        ("sqlite:///mlflow.db", "databricks-uc", "main.models", "server", "MLFLOW_TRACKING_URI"),
    ],
)
def test_what_cannot_work_is_said_with_what_to_set(
    tracking: str, registry: str, schema: str, found: str, remedy: str
) -> None:
    """Before anything is downloaded."""
    fault = obstacle(tracking, registry, schema)

    assert fault is not None
    assert found in fault[0]
    assert remedy in fault[1]


@pytest.mark.parametrize("command", [("release", "smollm2-135m"), ("status",), ("up",)])
def test_a_command_refuses_such_an_address_in_one_line(command: tuple[str, ...]) -> None:
    """Exit code 2: a setting has to change."""
    done = slipway(*command, MLFLOW_TRACKING_URI=AZURE)

    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert "runs and files cannot be in Azure ML" in line


def test_versions_and_runs_have_two_addresses_with_unity_catalog(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Any other address of a registry is ignored."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SERVER)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://another.example")
    monkeypatch.setenv("SLIPWAY_REGISTRY_SCHEMA", "Main.Models")
    alone = mlflow_location(Settings())
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "databricks-uc")
    apart = mlflow_location(Settings())

    assert (alone.uri, alone.catalog) == (SERVER, "")
    assert (apart.uri, apart.catalog, apart.schema_name) == (
        SERVER,
        "databricks-uc",
        "main.models",
    )
    monkeypatch.delenv("SLIPWAY_REGISTRY_SCHEMA")
    with pytest.raises(RegistryUnsupported, match=r"set SLIPWAY_REGISTRY_SCHEMA to CATALOG.SCHEMA"):
        mlflow_location(Settings())


@pytest.mark.parametrize("schema", ["main", "main.", "a.b.c", "main.my models"])
def test_a_schema_has_two_parts(schema: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third one is the model's."""
    monkeypatch.setenv("SLIPWAY_REGISTRY_SCHEMA", schema)

    with pytest.raises(CatalogueInvalid, match=r"expected CATALOG.SCHEMA, such as main.models"):
        Settings()


@given(name=NAMES)
def test_a_name_has_three_parts_there_and_is_found_again(name: str) -> None:
    """A dot would begin another part."""
    there = name_there(name, "main.models")

    assert there.count(".") == 2
    assert name_here(there) == name


@given(tag=TAGS, value=st.text(max_size=2_500))
def test_a_tag_is_allowed_there_and_reads_the_same_here(tag: str, value: str) -> None:
    """Without ``. , - = / :`` in its name, and with 1,000 characters or fewer in each part."""
    there = tags_there({tag: value})

    assert tags_here(there) == {tag: value}
    assert all(re.fullmatch(r"[^.,\-=/:]{1,255}", part) for part in there)
    assert all(len(text) <= 1000 for text in there.values())
    assert all(is_part(part, tag) for part in there)


@given(tag=TAGS, other=TAGS)
def test_two_tags_share_no_part(tag: str, other: str) -> None:
    """Deleting one with its parts leaves the other."""
    parts = tags_there({tag: "x" * 2_500})

    assert tag == other or not any(is_part(part, other) for part in parts)


def test_tags_of_others_are_left_as_they_are() -> None:
    """Also those whose names look like the ones of ours."""
    assert tags_here({"cost__center": "7", tag_there(tags.KEY): "k"}) == {
        "cost__center": "7",
        tags.KEY: "k",
    }
