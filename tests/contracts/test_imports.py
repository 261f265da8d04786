"""What an import costs and does, and what a wrapper may import."""

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments import services
from slipway.libraries import TELEMETRY_OFF, disable_telemetry, toolchain
from slipway.settings import PROJECT, Settings
from slipway.system import process
from slipway.tracking.log_models import requirements
from tests.support.project import printed_by

#: What every installation of MLflow has.
WITH_MLFLOW = {"numpy", "pandas"}


def imported(module: Path) -> Iterator[str]:
    """Yield the top-level name of everything that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0] if node.level == 0 else "."


@pytest.mark.parametrize("wrapper", sorted((PROJECT / "wrappers").rglob("*.py")), ids=str)
def test_a_wrapper_needs_nothing_of_this_project(wrapper: Path) -> None:
    """It is loaded where only its model's requirements are installed."""
    required = {line.partition("==")[0] for line in requirements("onnx", toolchain())}
    shipped = {name.replace("-", "_") for name in required} | WITH_MLFLOW

    assert set(imported(wrapper)) - sys.stdlib_module_names <= shipped


def python(code: str) -> list[str]:
    """Return the words that ``code`` prints in a new process, without our variables."""
    variables = {name: text for name, text in os.environ.items() if name not in TELEMETRY_OFF}
    return printed_by(code, variables).split()


def test_importing_the_core_changes_no_environment_variable() -> None:
    """A program that uses one module of it decides for itself."""
    changed = python(
        "import importlib, os, pkgutil; before = dict(os.environ); import slipway\n"
        "for each in pkgutil.walk_packages(slipway.__path__, 'slipway.'):\n"
        "    importlib.import_module(each.name)\n"
        "print(*(set(os.environ.items()) ^ set(before.items())))"
    )

    assert changed == []


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param("from commands.main import run; run(['models', '--json'])", id="command line"),
        pytest.param("import flows.release_model", id="flow run"),
        pytest.param("import deployments.apply", id="deployments"),
    ],
)
def test_an_entry_point_switches_telemetry_off(entry: str) -> None:
    """Before it imports a library that would report its use."""
    code = f"{entry}; import os; print(); print('found', *os.environ)"

    assert set(TELEMETRY_OFF) <= set(python(code))


def test_a_child_process_and_a_service_find_telemetry_switched_off(tmp_path: Path) -> None:
    """Also where their parent did not switch it off for itself."""
    assert TELEMETRY_OFF.items() <= process.environment("build").items()
    for service in ("worker", "mlflow"):
        found = services.client_environment(service, Settings(home=tmp_path))
        assert TELEMETRY_OFF.items() <= found.items()


def test_a_persons_own_choice_of_telemetry_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says already is not changed."""
    monkeypatch.setenv("DO_NOT_TRACK", "0")

    disable_telemetry()

    assert os.environ["DO_NOT_TRACK"] == "0"
