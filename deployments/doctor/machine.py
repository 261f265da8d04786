"""Checks of the machine: they need no service."""

import os
import shutil
import stat
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, requires, version
from ipaddress import ip_address
from pathlib import Path

import psutil
from packaging.requirements import Requirement

from deployments.doctor.check import Diagnosis, fail, ok, warn
from deployments.services import servers, workers
from slipway import catalogue
from slipway.errors import SlipwayError
from slipway.settings import Settings
from slipway.system.network import host_and_port

_PYTHONS = ((3, 11), (3, 12), (3, 13))
_LEAST_DISK_BYTES, _GOOD_DISK_BYTES = 1_000_000_000, 6_000_000_000
_GOOD_MEMORY_BYTES = 3_000_000_000


def machine_checks(settings: Settings) -> tuple[Diagnosis, ...]:
    """Check Python, packages, home, disk, memory, catalogue, secrets and sign-in."""
    return (
        _python(),
        _packages(),
        _home(settings.home),
        _disk(settings.home),
        _memory(),
        _catalogue(settings),
        _secrets(settings.home),
        _auth(settings),
        _set("HF_TOKEN", "gated and private repositories cannot be downloaded"),
        _set("SLIPWAY_HUB_WEBHOOK_SECRET", "the receiver refuses the Hub's webhooks"),
    )


def _python() -> Diagnosis:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] in _PYTHONS:
        return ok("Python", found)
    return fail(
        "Python", found, "run `make setup PYTHON=python3.12`; 3.11, 3.12 and 3.13 are supported"
    )


def _packages() -> Diagnosis:
    """Compare the installed versions with those of ``pyproject.toml``."""
    asked = [Requirement(text) for text in requires("slipway") or ()]
    needed = [each for each in asked if not each.marker or each.marker.evaluate({"extra": ""})]
    wrong = [each for each in needed if not each.specifier.contains(_version(each.name))]
    if not wrong:
        return ok("packages", f"{len(needed)} installed as pinned")
    found = ", ".join(
        f"{each.name} {_version(each.name)} (expected {each.specifier})" for each in wrong
    )
    return fail("packages", found, "run `make setup`: it installs the tested versions")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "0"


def _home(home: Path) -> Diagnosis:
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        return fail(
            "home",
            f"{home}: {error.strerror}",
            "set SLIPWAY_HOME to a folder that you can write to",
        )
    return ok("home", f"{home.resolve()} is writable")


def _disk(home: Path) -> Diagnosis:
    there = next(folder for folder in (home, *home.resolve().parents) if folder.exists())
    free_bytes = shutil.disk_usage(there).free
    finding = f"{free_bytes / 1e9:.1f} GB free"
    advice = "free some, or set SLIPWAY_HOME to a larger disk"
    if free_bytes < _LEAST_DISK_BYTES:
        return fail("disk", finding, advice)
    return ok("disk", finding) if free_bytes >= _GOOD_DISK_BYTES else warn("disk", finding, advice)


def _memory() -> Diagnosis:
    free_bytes = psutil.virtual_memory().available
    finding = f"{free_bytes / 1e9:.1f} GB available"
    if free_bytes >= _GOOD_MEMORY_BYTES:
        return ok("memory", finding)
    return warn("memory", finding, "a release may need more; close other programs first")


def _catalogue(settings: Settings) -> Diagnosis:
    try:
        models = catalogue.load(settings.catalogue)
    except SlipwayError as error:
        return fail("catalogue", str(error).replace("\n", "; "), "correct the file")
    if settings.serve not in models:
        found = f"{len(models)} models, and none is called {settings.serve}"
        return warn("catalogue", found, "set SLIPWAY_SERVE to the model to serve")
    return ok("catalogue", f"{len(models)} models; the model server serves {settings.serve}")


def _secrets(home: Path) -> Diagnosis:
    """Check that only this user may read the secrets that were generated here."""
    files = [path for path in (home / "secrets").glob("*") if path.is_file()]
    open_ones = [path.name for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077]
    if open_ones:
        found = f"other users may read {', '.join(open_ones)}"
        return fail("secrets", found, f"run `chmod 600 {home / 'secrets'}/*`")
    return ok("secrets", f"{len(files)} files, readable by this user alone")


def _auth(settings: Settings) -> Diagnosis:
    """Require authentication where a service listens on more than loopback."""
    urls = {part.url for part in (*servers(settings), *workers(settings))}
    public = sorted(url for url in urls if not _is_loopback(url))
    if settings.auth:
        return ok("auth", "Prefect and MLflow require user and password")
    if public:
        found = f"off, and other machines may reach {', '.join(public)}"
        return fail("auth", found, "set SLIPWAY_AUTH=user:password, or listen on 127.0.0.1")
    return ok("auth", "off; every service listens on loopback, open to all users of this machine")


def _is_loopback(url: str) -> bool:
    host, _port = host_and_port(url)
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _set(variable: str, without: str) -> Diagnosis:
    finding = "configured" if os.environ.get(variable) else f"not set: {without}"
    return ok(variable, finding)
