"""The tiny model behind a real server, and variations of it as new versions."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from slipway import keys
from slipway.redeploy import model_server
from slipway.settings import PROJECT
from slipway.system import store
from slipway.tracking import known_wrappers
from slipway.values import Release
from tests.support.project import Project

Edit = Callable[[Path], None]

ORIGINAL = "set_model(OnnxGenaiModel())"

#: Marks every piece of text, so that an answer shows its version; long answers are slow.
MARKED = """\
class Changed(OnnxGenaiModel):
    scheduler = None

    def stream(self, prompt, **sampling):
        return self._marked(super().stream(prompt, **sampling), sampling["max_tokens"] > 60)

    def _marked(self, pieces, slow):
        import time

        for piece in pieces:
            time.sleep(0.05 if slow else 0)
            yield replace(piece, text=piece.text + "{mark}")
"""


def changed(code: str) -> Edit:
    """Return an edit that replaces the wrapper by its subclass ``Changed`` in ``code``."""

    def edit(folder: Path) -> None:
        wrapper = folder / "onnx_genai.py"
        text = wrapper.read_text(encoding="utf-8")
        assert ORIGINAL in text
        wrapper.write_text(text.replace(ORIGINAL, f"{code}\n\nset_model(Changed())"), "utf-8")

    return edit


def marked(mark: str) -> Edit:
    """Return an edit that appends ``mark`` to every piece of an answer."""
    return changed(MARKED.replace("{mark}", mark))


def unchanged(_folder: Path) -> None:
    """Change nothing."""


@dataclass(frozen=True)
class ServedProject:
    """A project with one release, whose server is running.

    Attributes:
        release: Version 1.
    """

    project: Project
    release: Release

    @property
    def folder(self) -> Path:
        """The server's folder."""
        return self.project.home / "serving" / "tiny"

    @property
    def wrappers(self) -> Path:
        """The wrappers that this project knows: ours, and those of the versions that are added."""
        return self.project.folder / "wrappers"

    @property
    def url(self) -> str:
        """Where the server listens."""
        found = model_server.find(self.folder)
        assert found is not None, "no server runs"
        return found.url

    def add(
        self, edit: Edit = unchanged, *, tags: dict[str, str] | None = None, spoil: Edit = unchanged
    ) -> int:
        """Register another version of both models and return its number.

        Args:
            edit: Changes the files of the ONNX wrapper, whose digests are taken afterwards.
            tags: Override the tags of a release.
            spoil: Changes the files after their digests were taken.
        """
        client = self.project.registry().client
        models = self.project.home / "mlflow" / "artifacts" / "tiny" / "models"
        number = len(client.search_model_versions("name = 'tiny'")) + 1
        folder = models / f"copy-{number}"
        original = models / self.release.versions.onnx.model_id / "artifacts"
        shutil.copytree(original, folder)
        edit(folder)
        key = f"{number:064x}"
        written = self._tags(folder, key, number) | (tags or {})
        with (self.wrappers / known_wrappers.LIST).open("a", encoding="utf-8") as known:
            known.write(f"{written['slipway.code_sha256']}  of version {number}\n")
        spoil(folder)
        for wrapper in self.release.versions.wrappers:
            source = str(folder) if wrapper.kind == "onnx" else f"models:/{wrapper.model_id}"
            made = client.create_model_version(wrapper.name, source, tags=written)
            assert int(made.version) == number
        return number

    def _tags(self, folder: Path, key: str, number: int) -> dict[str, str]:
        versions = self.release.versions
        wrappers = {
            each.kind: each.model_copy(update={"version": number}) for each in versions.wrappers
        }
        release = self.release.model_copy(
            update={"versions": versions.model_copy(update=wrappers | {"key": key})}
        )
        return {
            "slipway.key": key,
            "slipway.status": "released",
            "slipway.release": release.model_dump_json(),
            "slipway.digest": keys.manifest_digest(store.manifest(folder / "artifacts" / "model")),
            "slipway.code_sha256": store.sha256(folder / "onnx_genai.py"),
            "slipway.mlmodel_sha256": store.sha256(folder / "MLmodel"),
        }

    def move(self, version: int) -> None:
        """Move the alias, as a person does in the MLflow UI."""
        client = self.project.registry().client
        for wrapper in self.release.versions.wrappers:
            client.set_registered_model_alias(wrapper.name, "champion", str(version))

    def champions(self) -> list[int | None]:
        """Return the champions of both models."""
        models = self.project.registry()
        return [models.champion(each.name) for each in self.release.versions.wrappers]

    def serves(self) -> set[int]:
        """Return the versions that the workers answer with."""
        found = model_server.find(self.folder)
        return {ready.version for ready in model_server.ready_workers(found)} if found else set()

    def served(self) -> int:
        """Return the one version that all workers answer with."""
        (version,) = self.serves()
        return version

    def pids(self) -> set[int]:
        """Return the processes of the workers."""
        found = model_server.find(self.folder)
        return model_server.worker_pids(found) if found else set()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Hide the server file, as if no server was running."""
        server_file, aside = self.folder / "server.json", self.folder / "server.aside"
        server_file.rename(aside)
        try:
            yield
        finally:
            aside.rename(server_file)

    def quarantine(self, version: int) -> str | None:
        """Return why a version is quarantined."""
        return self.project.registry().tags("tiny", version).get("slipway.quarantined")


@contextmanager
def running(served: ServedProject, *, version: int, workers: int) -> Iterator[ServedProject]:
    """Run the model's server while the body runs."""
    model_server.set_version(served.folder, "tiny", version)
    shutil.copytree(PROJECT / "wrappers", served.wrappers)
    with (
        pytest.MonkeyPatch.context() as patch,
        (served.project.folder / "server.log").open("wb") as log,
    ):
        patch.setenv("SLIPWAY_WRAPPERS", str(served.wrappers))
        process = subprocess.Popen(
            [sys.executable, *model_server.command(served.folder, port=0, workers=workers)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(os.environ),
        )
        try:
            _wait_until_ready(process, served.folder)
            yield served
        finally:
            process.terminate()
            process.wait(60)


def _wait_until_ready(process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + 180
    while not model_server.find(folder):
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server is not ready"
        time.sleep(0.2)
