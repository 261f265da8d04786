"""Checks of the machine: they need no service."""

import os
import shutil
import stat
import sys
import tempfile
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

from deployments.doctor.check import Diagnosis, fail, ok, warn
from deployments.services import exposed, missing_driver, served_models
from slipway import catalogue
from slipway.checks import suites
from slipway.errors import ExtraMissing, SlipwayError
from slipway.serving.api_keys import has_keys, read, require_keys
from slipway.settings import PROJECT, Settings, auth_file
from slipway.system import memory
from slipway.system.network import host_and_port
from slipway.tracking import registry_kind

_PYTHONS = ((3, 11), (3, 12), (3, 13))
_LEAST_DISK_BYTES, _GOOD_DISK_BYTES = 1_000_000_000, 6_000_000_000
_GOOD_MEMORY_BYTES = 3_000_000_000


def machine_checks(settings: Settings) -> tuple[Diagnosis, ...]:
    """Check Python, packages, registry, home, disk, memory, catalogue, secrets, sign-in, keys."""
    return (
        _python(),
        _packages(),
        _drivers(settings),
        _registry(settings),
        _home(settings),
        _disk(settings.home),
        _memory(),
        _catalogue(settings),
        _secrets(settings.home),
        _auth(settings),
        _keys(settings),
        _set("HF_TOKEN", "gated and private repositories cannot be downloaded"),
        _set("SLIPWAY_HUB_WEBHOOK_SECRET", "the receiver refuses the Hub's webhooks"),
    )


def _python() -> Diagnosis:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] in _PYTHONS:
        return ok("Python", found)
    advice = "run `make setup PYTHON=python3.12`; 3.11, 3.12 and 3.13 are supported"
    return fail("Python", found, advice)


def _packages() -> Diagnosis:
    """Compare the installed versions with those of ``pyproject.toml``."""
    document = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [Requirement(text) for text in document["project"]["dependencies"]]
    needed = [each for each in asked if not each.marker or each.marker.evaluate()]
    wrong = [each for each in needed if not each.specifier.contains(_version(each.name))]
    if not wrong:
        return ok("packages", f"{len(needed)} installed as pinned")
    found = ", ".join(
        f"{each.name} {_version(each.name)} (expected {each.specifier})" for each in wrong
    )
    return fail("packages", found, "run `make setup`: it installs the tested versions")


def _drivers(settings: Settings) -> Diagnosis:
    if missing := missing_driver(settings):
        advice = ExtraMissing(missing, "containers").advice
        return fail("stores", f"{missing} is not installed", advice)
    return ok("stores", "the packages of MLflow's database and artifact store are installed")


def _registry(settings: Settings) -> Diagnosis:
    """Say what kind of registry the addresses name, and what a release cannot do there."""
    uri, schema = settings.registry_uri, settings.registry_schema
    if fault := registry_kind.obstacle(settings.registry, uri, schema):
        return fail("registry", *fault)
    if registry_kind.kind_of(uri) == "Unity Catalog":
        missing = "".join(f"\n- {each}" for each in registry_kind.MISSING_IN_UNITY_CATALOG)
        found = f"Unity Catalog, schema {schema}, which was tested against a stub alone:{missing}"
        return warn("registry", found, "read docs/registries.md before you release")
    if uri not in {"", settings.registry}:
        found = "MLFLOW_REGISTRY_URI is ignored: versions are registered where the runs are"
        return warn("registry", found, "unset it, or name that server in MLFLOW_TRACKING_URI")
    return ok("registry", "MLflow's own, where the runs are")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "0"


def _home(settings: Settings) -> Diagnosis:
    home = settings.home
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        advice = "set SLIPWAY_HOME to a folder that you can write to"
        return fail("home", f"{home}: {error.strerror}", advice)
    others = [folder for folder in _kept_in(settings) if _is_open_to_others(folder)]
    if others:
        found = f"other users may read {', '.join(map(str, others))}"
        return fail("home", found, f"run `chmod -R go= {' '.join(map(str, others))}`")
    return ok("home", f"{home.resolve()} is writable, and this user's alone")


def _kept_in(settings: Settings) -> tuple[Path, ...]:
    """Return the folders of this machine that databases and models are in."""
    artifacts = Path(settings.artifacts.removeprefix("file://"))
    return (settings.home, artifacts) if artifacts.is_absolute() else (settings.home,)


def _is_open_to_others(path: Path) -> bool:
    return path.exists() and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def _disk(home: Path) -> Diagnosis:
    there = next(folder for folder in (home, *home.resolve().parents) if folder.exists())
    free_bytes = shutil.disk_usage(there).free
    finding = f"{free_bytes / 1e9:.1f} GB free"
    advice = "free some, or set SLIPWAY_HOME to a larger disk"
    if free_bytes < _LEAST_DISK_BYTES:
        return fail("disk", finding, advice)
    return ok("disk", finding) if free_bytes >= _GOOD_DISK_BYTES else warn("disk", finding, advice)


def _memory() -> Diagnosis:
    free_bytes = memory.free_bytes()
    finding = f"{free_bytes / 1e9:.1f} GB available"
    if free_bytes >= _GOOD_MEMORY_BYTES:
        return ok("memory", finding)
    return warn("memory", finding, "a release may need more; close other programs first")


def _catalogue(settings: Settings) -> Diagnosis:
    try:
        models = catalogue.load(settings.catalogue)
        for entry in models.values():
            suites.require_checkable(entry, settings.expectations)
    except SlipwayError as error:
        return fail("catalogue", str(error).replace("\n", "; "), "correct the file")
    served = served_models(settings)
    if unknown := [name for name in served if name not in models]:
        found = f"{len(models)} models, and none is called {' or '.join(unknown)}"
        return warn("catalogue", found, "set SLIPWAY_SERVE to the models to serve")
    return ok("catalogue", f"{len(models)} models; the model server serves {', '.join(served)}")


def _secrets(home: Path) -> Diagnosis:
    """Check that only this user may read the secrets that were generated here."""
    files = [path for path in (home / "secrets").glob("*") if path.is_file()]
    open_ones = [path.name for path in files if _is_open_to_others(path)]
    if open_ones:
        found = f"other users may read {', '.join(open_ones)}"
        return fail("secrets", found, f"run `chmod 600 {home / 'secrets'}/*`")
    return ok("secrets", f"{len(files)} files, readable by this user alone")


def _auth(settings: Settings) -> Diagnosis:
    """Say which password `slipway up` uses; require one where other machines reach a service."""
    if settings.auth and not settings.auth_is_generated:
        return ok("auth", "Prefect and MLflow require the password of SLIPWAY_AUTH")
    if urls := exposed(settings):
        found = f"nobody chose a password, and other machines may reach {', '.join(urls)}"
        return fail("auth", found, "set SLIPWAY_AUTH=user:password, or listen on 127.0.0.1")
    if settings.open:
        found = "SLIPWAY_OPEN: every user of this machine can run commands on the worker"
        return warn("auth", found, "unset SLIPWAY_OPEN; `slipway up` then generates a password")
    if settings.auth:
        found = f"Prefect and MLflow require the generated password of {auth_file(settings.home)}"
        return ok("auth", found)
    return ok("auth", "no password yet; `slipway up` generates one")


def _keys(settings: Settings) -> Diagnosis:
    """Say who may use the model server."""
    file, host = settings.keys_file, host_and_port(settings.listens_at("serving"))[0]
    try:
        require_keys(host, settings)
        keys = read(file).keys
    except SlipwayError as error:
        advice = "correct the file, or make a key with `slipway keys new NAME`"
        return fail("keys", " ".join(str(error).split()), advice)
    if not has_keys(settings):
        return ok("keys", "none: any user of this machine may use the model server")
    if _is_open_to_others(file):
        return warn("keys", f"other users may read {file}", f"run `chmod 600 {file}`")
    if not keys:
        return warn("keys", f"{file} has none, and one is required", "run `slipway keys new NAME`")
    return ok("keys", f"the model server requires one of the {len(keys)} of {file}")


def _set(variable: str, without: str) -> Diagnosis:
    finding = "configured" if os.environ.get(variable) else f"not set: {without}"
    return ok(variable, finding)
