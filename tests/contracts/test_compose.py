"""compose.yaml is not run here; its form is checked, and what it would let others reach."""

import re
from importlib.util import find_spec
from typing import Any

import jsonschema
import pytest
import yaml

from slipway.settings import public_variables
from tests.support.project import PROJECT

DOCUMENT = yaml.safe_load((PROJECT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = DOCUMENT["services"]

PARTS = {
    *("prefect", "mlflow", "worker", "release-worker", "receiver", "model-server", "redeployer"),
}
WORDS = {"type": "array", "items": {"type": "string"}}
SERVICE = {
    "type": "object",
    "required": ["image"],
    "additionalProperties": False,
    "properties": {
        "image": {"type": "string"},
        "build": {"const": {"context": ".", "dockerfile": "Containerfile"}},
        "network_mode": {"const": "service:model-server"},
        "pid": {"const": "service:model-server"},
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
                "restart": {"const": True},
                "condition": {"pattern": "^service_(started|healthy|completed_successfully)$"},
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
    python, *flags, module = SERVICES[name]["command"][:4]

    assert (python, *flags) == ("python", "-P", "-m")
    assert find_spec(module)


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_pinned(name: str) -> None:
    """By a whole version, so that the same file is the same system next year.

    And by its registry, unless it is built here: podman takes no short name from a registry.
    """
    address, _, tag = SERVICES[name]["image"].partition(":")

    assert address.startswith("docker.io/") or "build" in SERVICES[name]
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
        if any(word in variable for word in words) and "FILE" not in variable
    ]

    assert found
    assert all(value.startswith("${") for value in found)


def test_a_service_holds_the_secrets_that_it_needs() -> None:
    """And no other: those of the databases and the store are the servers' alone."""
    words = ("PASSWORD", "SECRET", "AUTH", "URI", "CONNECTION_URL", "ACCESS_KEY_ID", "TOKEN")
    held = {
        name: {key for key in each.get("environment", {}) if key.endswith(words)}
        for name, each in SERVICES.items()
    }

    hooks = "SLIPWAY_MLFLOW_WEBHOOK_SECRET"
    assert held["redeployer"] == held["model-server"] == {"SLIPWAY_AUTH"}
    assert held["worker"] == {"SLIPWAY_AUTH", "HF_TOKEN"}
    assert held["apply"] == {"SLIPWAY_AUTH", hooks}
    assert held["receiver"] == {"SLIPWAY_AUTH", hooks, "SLIPWAY_HUB_WEBHOOK_SECRET"}
    assert held["prefect"] == {"SLIPWAY_AUTH", "PREFECT_SERVER_DATABASE_CONNECTION_URL"}


def test_every_setting_is_one_and_can_be_set() -> None:
    """A misspelt one would be ignored."""
    used = {name for each in PARTS for name in SERVICES[each]["environment"]}
    secrets = {"SLIPWAY_AUTH", "SLIPWAY_MLFLOW_WEBHOOK_SECRET", "SLIPWAY_HUB_WEBHOOK_SECRET"}
    apply = SERVICES["apply"]["environment"]
    set_by_people = {
        name for name, value in apply.items() if name.startswith("SLIPWAY_") and "${" in value
    }

    assert {name for name in used if name.startswith("SLIPWAY_")} <= secrets | {*public_variables()}
    assert set_by_people >= {"SLIPWAY_SERVE", "SLIPWAY_NOTIFY_BLOCK", "SLIPWAY_PARALLEL_RUNS"}
    for name in ("model-server", "worker", "redeployer"):
        assert SERVICES[name]["environment"]["SLIPWAY_SERVE"] == apply["SLIPWAY_SERVE"]


def test_a_published_service_listens_where_its_container_is_reached() -> None:
    """Others find it under its name, and people at the published port."""
    for name, part in (("prefect", "PREFECT"), ("mlflow", "MLFLOW"), ("receiver", "RECEIVER")):
        variables, (port,) = SERVICES[name]["environment"], SERVICES[name]["ports"]
        assert variables[f"SLIPWAY_{part}_LISTEN"] == f"0.0.0.0:{port.rpartition(':')[2]}"
        assert variables[f"SLIPWAY_{part}_URL"] == f"http://{name}:{port.rpartition(':')[2]}"


def test_redeploys_run_among_the_processes_of_the_model_server() -> None:
    """One worker takes their queue, and it has the server's home."""
    redeployer, host = SERVICES["redeployer"], SERVICES["apply"]["environment"]
    queues = {
        name: each["environment"].get("SLIPWAY_WORKER_QUEUES")
        for name, each in SERVICES.items()
        if "worker" in each.get("command", ())
    }

    assert queues == {
        "worker": "default",
        "redeployer": f"serve-{host['SLIPWAY_SERVING_HOST']}",
    }
    assert redeployer["pid"] == redeployer["network_mode"] == "service:model-server"
    assert redeployer["volumes"] == SERVICES["model-server"]["volumes"]
