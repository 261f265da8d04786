"""compose.yaml is not run here; its form is checked, and what it would let others reach."""

import re
from importlib.util import find_spec
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.project import PROJECT

DOCUMENT = yaml.safe_load((PROJECT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = DOCUMENT["services"]

PARTS = {"prefect", "mlflow", "worker", "release-worker", "receiver", "model-server"}
WORDS = {"type": "array", "items": {"type": "string"}}
SERVICE = {
    "type": "object",
    "required": ["image"],
    "additionalProperties": False,
    "properties": {
        "image": {"type": "string"},
        "command": WORDS,
        "entrypoint": WORDS,
        "working_dir": {"type": "string"},
        "volumes": WORDS,
        "environment": {"type": "object", "additionalProperties": {"type": "string"}},
        "ports": WORDS,
        "restart": {"enum": ["no", "on-failure", "unless-stopped"]},
        "healthcheck": {"type": "object"},
        "depends_on": {"type": "object", "additionalProperties": {"$ref": "#/$defs/wait"}},
    },
    "$defs": {
        "wait": {
            "type": "object",
            "additionalProperties": False,
            "required": ["condition"],
            "properties": {
                "condition": {"pattern": "^service_(started|healthy|completed_successfully)$"}
            },
        }
    },
}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_known_keys_alone(name: str) -> None:
    """Compose would refuse a misspelt one, and it does not run here."""
    jsonschema.validate(SERVICES[name], SERVICE)


def test_every_part_of_slipway_up_is_there() -> None:
    """And what a service waits for, and each volume that it names, exists."""
    waits: Any = [each.get("depends_on", {}) for each in SERVICES.values()]
    mounts = [mount for each in SERVICES.values() for mount in each.get("volumes", [])]
    named = {mount.split(":")[0] for mount in mounts if mount[0] not in "./"}

    assert set(SERVICES) >= PARTS
    assert {name for each in waits for name in each} <= set(SERVICES)
    assert named == set(DOCUMENT["volumes"])


@pytest.mark.parametrize("name", sorted(PARTS | {"apply"}))
def test_a_service_starts_a_module_that_exists(name: str) -> None:
    """A renamed one would be noticed by nobody here."""
    python, flag, module, *_ = SERVICES[name]["command"]

    assert (python, flag) == ("python", "-m")
    assert find_spec(module)


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_pinned(name: str) -> None:
    """By a whole version, so that the same file is the same system next year."""
    _, _, tag = SERVICES[name]["image"].partition(":")

    assert re.fullmatch(r"\d+\.\d+(\.\d+)?(-\w+)*|RELEASE\.[\dTZ-]+", tag)


@pytest.mark.parametrize("name", SERVICES)
def test_a_port_is_published_on_loopback_alone(name: str) -> None:
    """Docker publishes a port past the machine's firewall."""
    assert [
        port for port in SERVICES[name].get("ports", []) if not port.startswith("127.0.0.1:")
    ] == []


def test_no_password_stands_in_the_file() -> None:
    """Each comes from the environment, and Compose asks for a missing one."""
    words = ("PASSWORD", "SECRET", "AUTH")
    found = [
        value
        for each in SERVICES.values()
        for variable, value in each.get("environment", {}).items()
        if any(word in variable for word in words)
    ]

    assert found
    assert all(value.startswith("${") for value in found)


def test_a_service_holds_the_secrets_that_it_needs() -> None:
    """Whatever `install` downloads runs there: it holds none."""
    words = ("PASSWORD", "SECRET", "AUTH", "URI", "CONNECTION_URL", "ACCESS_KEY_ID")
    held = {
        name: {key for key in each.get("environment", {}) if key.endswith(words)}
        for name, each in SERVICES.items()
    }

    hooks = "SLIPWAY_MLFLOW_WEBHOOK_SECRET"
    assert held["install"] == set()
    assert held["worker"] == held["model-server"] == {"SLIPWAY_AUTH"}
    assert {name for name in PARTS if hooks in held[name]} == {"receiver"}
    assert held["apply"] == held["receiver"] == {"SLIPWAY_AUTH", hooks}
