"""Containerfile is not built here: what it copies and starts exists, and is all that is needed."""

import re

from tests.support.project import PROJECT

TEXT = (PROJECT / "Containerfile").read_text(encoding="utf-8")
LAST = TEXT.rpartition("\nFROM ")[2]


def test_the_image_has_every_package_and_file_of_a_checkout() -> None:
    """What `slipway` imports, and what the settings name; no more, so no secret of a checkout."""
    copied = re.findall(r"^COPY (?!--)(.*) \S+$", LAST, re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    packages = {"commands", "deployments", "flows", "slipway", "tasks"}
    kept = (PROJECT / ".dockerignore").read_text(encoding="utf-8").split()

    assert names == packages | {
        *("expectations", "wrappers", "catalogue.toml", "prefect.yaml", "pyproject.toml")
    }
    assert all((PROJECT / name).exists() for name in names)
    assert kept[0] == "*"
    assert {each[1:] for each in kept[1:] if each[0] == "!"} == names | {"requirements*.txt"}


def test_packages_come_from_the_lock() -> None:
    """Every file of requirements that the installer reads is copied before it runs."""
    installer = (PROJECT / "deployments" / "install.sh").read_text(encoding="utf-8")
    read = set(re.findall(r"requirements[a-z-]*\.txt", installer)) | {"requirements-containers.txt"}
    copied = set(re.findall(r"requirements[a-z-]*\.txt", TEXT.partition("RUN")[0]))

    assert "--require-hashes" in installer
    assert copied == read
    assert "pip install" not in TEXT


def test_the_image_runs_as_a_user_without_rights() -> None:
    """The base is pinned, and whoever runs it can tell whether it is well."""
    bases = re.findall(r"^FROM (\S+)", TEXT, re.MULTILINE)
    (base,) = re.findall(r"^ARG BASE=(\S+)", TEXT, re.MULTILINE)
    version = re.search(
        r'^version = "(.*)"', (PROJECT / "pyproject.toml").read_text("utf-8"), re.MULTILINE
    )

    assert re.fullmatch(r"docker\.io/library/python:3\.\d+\.\d+-slim-bookworm", base)
    assert bases == ["${BASE}", "${BASE}"]
    assert "\nUSER 10001" in LAST
    assert "HEALTHCHECK" in LAST
    assert version
    assert f"slipway:{version[1]}" in TEXT
