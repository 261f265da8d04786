"""Measures what signatures cost: time and bytes to seal a version and to load it, with a key.

A made-up version is signed and loaded from a folder of MLflow's. One SHA-256 pass over its bytes is
the bar. The size in MB may be given: ``python benchmarks/signature_cost.py 2000``.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from slipway.libraries import disable_telemetry
from slipway.registry import Registry
from slipway.system.signing_keys import make_pair
from slipway.system.store import manifest
from slipway.tracking import bill_of_materials, release_record
from slipway.tracking.location import MlflowLocation
from slipway.tracking.seal import seal
from slipway.tracking.verified_copy import CopyRequest, fetch
from slipway.values import LoggedWrapper, Stored
from tests.support.fake_registry import FakeRegistry, registry_at

WRITTEN = (release_record.FILE, bill_of_materials.FILE, release_record.SIGNATURE_FILE)
_MB = 1_000_000


@dataclass(frozen=True)
class LargeRegistry(FakeRegistry):
    """A model whose artifact is large.

    Attributes:
        megabytes: Its size.
    """

    megabytes: int = 160

    def _stored(self, name: str, file: str) -> Stored:
        if not file.endswith(".onnx"):
            return super()._stored(name, file)
        folder = self.folder / name / "model"
        if not folder.is_dir():
            folder.mkdir(parents=True)
            with (folder / file).open("wb") as artifact:
                for _ in range(self.megabytes):
                    artifact.write(os.urandom(_MB))
        return Stored(key=name, folder=folder, files=manifest(folder))


def main(megabytes: int) -> None:
    """Measure, and print a small table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        private, public = folder / "private.pem", folder / "public.pem"
        make_pair(private, public)
        location = MlflowLocation(
            uri=f"sqlite:///{folder}/mlflow.db", artifacts=folder / "artifacts"
        )
        registry = registry_at(location, folder)
        model = LargeRegistry(registry, folder / "files", "large", private, megabytes)
        measure(model, public)


def measure(model: LargeRegistry, public: Path) -> None:
    """Print what each step takes."""
    decided = model.summary("one")
    wrapper = decided.versions.onnx
    files = model.file(wrapper, "")
    _print("one SHA-256 pass", lambda: manifest(files))
    _print("import of the library", lambda: import_module("model_signing"))
    _print("seal both wrappers", lambda: seal(model.seal_request(decided)))
    sealed = {path: model.file(wrapper, path).stat().st_size for path in WRITTEN}
    for what, key in (("without a key", None), ("with a key", public)):
        copies = model.registry.copies.model_copy(update={"public_key": key})
        request = _request(wrapper, Registry(copies, model.registry.locks))
        _print(f"first load {what}", lambda each=request: fetch(each))
        _print(f"next load {what}", lambda each=request: fetch(each))
    print("\n".join(f"{path:28} {size:>10,} bytes" for path, size in sealed.items()))


def _request(wrapper: LoggedWrapper, registry: Registry) -> CopyRequest:
    return CopyRequest(place=registry.copies, name=wrapper.name, version=wrapper.version)


def _print(what: str, step: Callable[[], Any]) -> None:
    started = time.perf_counter()
    step()
    print(f"{what:28} {time.perf_counter() - started:>10.2f} s", flush=True)


if __name__ == "__main__":
    disable_telemetry()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 160)
