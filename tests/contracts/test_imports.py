"""What an import costs and does, and what a wrapper may import."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.settings import PROJECT

#: What a wrapper may import besides the standard library: it is shipped inside the model, alone.
SHIPPED = {"mlflow", "numpy", "onnxruntime_genai", "pandas"}


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
    assert set(imported(wrapper)) - sys.stdlib_module_names <= SHIPPED
