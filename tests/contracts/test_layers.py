"""Who may import whom: layers point down, and each library has its own door."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.settings import PROJECT

PACKAGES = ("commands", "deployments", "flows", "slipway", "tasks")

#: The only modules that may import a library, by the library.
DOORS = {
    "great_expectations": {"slipway/expectations.py"},
    "huggingface_hub": {
        "slipway/hub_client.py",
        "slipway/meter.py",
        "slipway/wrapping.py",
    },
    "mlflow": {
        "commands/status.py",
        "slipway/records.py",
        "slipway/renderings.py",
        "slipway/runs.py",
        "slipway/registry/contents.py",
        "slipway/registry/lookup.py",
        "slipway/registry/registration.py",
        "slipway/serving/loading.py",
        "slipway/smoke.py",
        "slipway/subscription.py",
        "slipway/tracking.py",
        "slipway/wrapping.py",
    },
    "onnxruntime_genai": {"slipway/onnx.py", "slipway/runtime.py"},
    "torch": {"slipway/fidelity/source.py", "slipway/gguf.py"},
    "transformers": {
        "slipway/fidelity/source.py",
        "slipway/gguf.py",
        "slipway/intake/templates.py",
    },
}

#: What a wrapper may import besides the standard library: it is shipped inside the model, alone.
SHIPPED = {"mlflow", "numpy", "onnxruntime_genai", "pandas"}


def imported(module: Path) -> Iterator[str]:
    """Yield the top-level name of everything that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0] if node.level == 0 else "."


def importers(project: Path, library: str) -> set[str]:
    """Return the modules of the project's packages that import ``library``."""
    return {
        module.relative_to(project).as_posix()
        for package in PACKAGES
        for module in (project / package).rglob("*.py")
        if library in imported(module)
    }


def lint_imports(project: Path) -> subprocess.CompletedProcess[str]:
    """Check the import rules of the project that lies in this folder."""
    command = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [command, "--no-cache"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the project's packages and of its rules, to break something in."""
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / package, tmp_path / package, ignore=ignored)
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_import_rules_hold() -> None:
    """As written down in pyproject.toml."""
    checked = lint_imports(PROJECT)

    assert checked.returncode == 0, checked.stdout
    assert "0 broken" in checked.stdout


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("slipway/verdict.py", "import tasks.naming", "slipway is not allowed to import tasks"),
        ("slipway/keys.py", "import flows", "slipway is not allowed to import flows"),
        ("tasks/judge.py", "import flows.release_model", "tasks is not allowed to import flows"),
        ("flows/__init__.py", "import commands", "flows is not allowed to import commands"),
        ("slipway/steps.py", "import prefect", "slipway is not allowed to import prefect"),
        (
            "slipway/store.py",
            "def f() -> None:\n    from prefect import task",
            "slipway is not allowed to import prefect",
        ),
    ],
)
def test_a_forbidden_import_breaks_the_rules(
    copy: Path, module: str, line: str, broken: str
) -> None:
    """Planted in a copy, also inside of a function, it is found and named."""
    with (copy / module).open("a", encoding="utf-8") as file:
        file.write(f"\n\n{line}\n")

    checked = lint_imports(copy)

    assert checked.returncode == 1
    assert broken in checked.stdout


@pytest.mark.parametrize("library", DOORS)
def test_a_library_is_imported_by_its_adapter_alone(library: str) -> None:
    """What the library is called elsewhere, and what it raises, ends there."""
    assert importers(PROJECT, library) == DOORS[library]


def test_prefect_is_known_at_the_edge_alone() -> None:
    """Flows, tasks and deployments; the command line starts flows without knowing what they are."""
    folders = {module.partition("/")[0] for module in importers(PROJECT, "prefect")}

    assert {"flows", "tasks"} <= folders <= {"flows", "tasks", "deployments"}


def test_a_pure_module_touches_neither_disk_nor_clock_nor_network() -> None:
    """What is decided depends on what is passed in, and on nothing else."""
    pure = (
        *("changes", "choose", "comparison", "errors", "gates", "history", "keys", "parity"),
        *("regressions", "variant_files", "variants", "verdict"),
    )
    impure = {"os", "pathlib", "random", "shutil", "socket", "subprocess", "tempfile", "time"}

    found = {name for name in pure if impure & set(imported(PROJECT / "slipway" / f"{name}.py"))}

    assert found == set()


def test_a_wrapper_needs_nothing_of_this_project() -> None:
    """It is loaded where only its model's requirements are installed."""
    wrappers = sorted((PROJECT / "wrappers").rglob("*.py"))

    assert wrappers
    for wrapper in wrappers:
        assert set(imported(wrapper)) - sys.stdlib_module_names <= SHIPPED


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("import torch.nn", "torch"),
        ("def f() -> None:\n    from slipway.values import Entry", "slipway"),
        ("from . import other", "."),
    ],
)
def test_an_import_is_found_wherever_it_stands(tmp_path: Path, line: str, name: str) -> None:
    """These rules bite: a planted import is seen, a relative one as what it is."""
    (tmp_path / "slipway").mkdir()
    (tmp_path / "slipway" / "one.py").write_text(f"import os\n\n\n{line}\n", encoding="utf-8")

    assert importers(tmp_path, name) == {"slipway/one.py"}
    assert name not in SHIPPED | sys.stdlib_module_names
