"""A class name exists once, so that a reader who searches for it finds one thing."""

import ast
from collections import Counter
from pathlib import Path

from tests.support.project import PROJECT

PACKAGES = ("commands", "deployments", "flows", "slipway", "tasks", "wrappers")


def public_classes(file: Path) -> list[str]:
    """Return the names of the public classes that a module defines at its top level."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    found = (node.name for node in body if isinstance(node, ast.ClassDef))
    return [name for name in found if not name.startswith("_")]


def test_no_two_public_classes_have_one_name() -> None:
    """The same word for two things makes a reader look twice."""
    files = [file for package in PACKAGES for file in (PROJECT / package).rglob("*.py")]
    names = Counter(name for file in files for name in public_classes(file))

    assert len(names) > 100
    assert [name for name, count in names.items() if count > 1] == []


def test_no_package_exports_a_name_that_hides_one_of_its_modules() -> None:
    """``from slipway.report import plan`` means the module, and nothing else."""
    hidden = [
        f"{file.parent.name}.{alias.asname or alias.name}"
        for package in PACKAGES
        for file in (PROJECT / package).rglob("__init__.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if (file.parent / f"{alias.asname or alias.name}.py").is_file()
        and not (node.module or "").endswith(file.parent.name)
    ]

    assert hidden == []
