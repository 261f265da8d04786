"""Whatever runs a wrapper runs its released source, and finds no credentials."""

import json
import os
import py_compile
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient

from commands.main import run
from slipway.checks import prompt_files
from slipway.redeploy.deployment import Deployment
from slipway.redeploy.values import Deploy
from slipway.settings import PROJECT, Settings
from slipway.system.progress import silent
from slipway.system.store import sha256
from slipway.tracking import known_wrappers
from slipway.tracking.tags import CODE
from slipway.values import LoggedWrapper
from tasks.redeploy import deployment
from tasks.smoke_test import SmokeTester
from tests.support.model_servers import MODEL, SPAIN, Registered, point, serving, start
from tests.support.project import CATALOGUE

#: What an operator's shell may hold; none of it is for a model's code.
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "canary-aws",
    "DB_PASS": "canary-database",
    "GITHUB_PAT": "canary-github",
    "HF_TOKEN": "canary-hub",
    "MLFLOW_TRACKING_PASSWORD": "canary-mlflow",
    "MLFLOW_TRACKING_TOKEN": "canary-token",
    "MLFLOW_TRACKING_USERNAME": "canary-user",
    "PREFECT_API_AUTH_STRING": "canary:prefect-password",
    "SLIPWAY_MLFLOW_WEBHOOK_SECRET": "canary-webhook",
}
RECORD = """
import pathlib

pathlib.Path({folder!r}, f"{{os.getpid()}}.json").write_text(json.dumps(dict(os.environ)))
"""


@dataclass(frozen=True)
class Spy:
    """A registry with a wrapper that records its environment, and one with planted bytecode.

    Attributes:
        folder: Holds the home and what the wrappers write.
        spying: The version whose wrapper records its environment.
        planted: The version with bytecode beside its wrapper that does.
    """

    folder: Path
    spying: int
    planted: int

    @property
    def recorded(self) -> Path:
        """Where the wrapper, or the bytecode instead of it, writes its environment."""
        return self.folder / "recorded"

    @property
    def home(self) -> Path:
        """What SLIPWAY_HOME is."""
        return self.folder / "home"

    def environments(self) -> list[dict[str, str]]:
        """Return what was recorded, and forget it."""
        found = [json.loads(path.read_text("utf-8")) for path in self.recorded.iterdir()]
        shutil.rmtree(self.recorded)
        self.recorded.mkdir()
        return found


@pytest.fixture(scope="module")
def prepared(registered: Registered, tmp_path_factory: pytest.TempPathFactory) -> Spy:
    """Register the spying wrapper, which this project knows, and the planted bytecode."""
    folder = tmp_path_factory.mktemp("spy")
    (folder / "recorded").mkdir()
    (folder / "home" / "mlflow").mkdir(parents=True)
    shutil.copy(registered.home / "mlflow" / "mlflow.db", folder / "home" / "mlflow")
    catalogue = CATALOGUE.format(contract="chat").replace('"brief"', '"general"')
    (folder / "catalogue.toml").write_text(catalogue, "utf-8")
    wrappers = shutil.copytree(PROJECT / "wrappers", folder / "wrappers")
    record = RECORD.format(folder=str(folder / "recorded"))

    spying = shutil.copytree(registered.logged, folder / "spying")
    wrapper = spying / known_wrappers.FILE
    wrapper.write_text(wrapper.read_text("utf-8") + record, "utf-8")
    with (wrappers / known_wrappers.LIST).open("a", encoding="utf-8") as known:
        known.write(f"{sha256(wrapper)}  spying\n")

    planted = shutil.copytree(registered.logged, folder / "planted")
    (planted / "__pycache__").mkdir()
    py_compile.compile(
        str(wrapper),
        str(planted / "__pycache__" / "onnx_genai.cpython-311.pyc"),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    tags = registered.tags(2)
    uri = f"sqlite:///{folder}/home/mlflow/mlflow.db"
    create = MlflowClient(tracking_uri=uri, registry_uri=uri).create_model_version
    first = create(MODEL, str(spying), tags=tags | {CODE: sha256(wrapper)})
    second = create(MODEL, str(planted), tags=tags)
    return Spy(folder, int(first.version), int(second.version))


@pytest.fixture
def spy(prepared: Spy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spy]:
    """Let the settings name that registry, in an environment with secrets."""
    names = {"HOME": "home", "CATALOGUE": "catalogue.toml", "WRAPPERS": "wrappers"}
    for name, place in names.items():
        monkeypatch.setenv(f"SLIPWAY_{name}", str(prepared.folder / place))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{prepared.home}/mlflow/mlflow.db")
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    monkeypatch.chdir(prepared.folder)
    yield prepared
    prepared.environments()


def serve(spy: Spy, version: int) -> str:
    """Serve a version, and return why that failed; empty if it did not."""
    folder = spy.folder / f"server-{version}"
    folder.mkdir()
    if version == spy.spying:
        with serving(spy.home, folder, version, MLFLOW_TRACKING_URI=Settings().registry):
            return ""
    point(folder / "pointer.json", version)
    start(spy.home, folder / "pointer.json", MLFLOW_TRACKING_URI=Settings().registry).wait(120)
    return (folder / "log").read_text("utf-8")


def preflight(_spy: Spy, version: int) -> str:
    """Test a version as a redeploy does, and return its fault."""
    place: Deployment = deployment(MODEL)
    golden = place.golden.model_copy(update={"prompts": place.golden.prompts[:1], "answer": {}})
    candidate = Deploy(version=version, serving=1, size_bytes=1)
    result = Deployment(**(vars(place) | {"golden": golden})).preflight(candidate)
    return result.fault or ""


def smoke_test(_spy: Spy, version: int) -> str:
    """Ask a version as a release does, and return why that failed."""
    settings = Settings()
    prompts = prompt_files.load_prompts(settings.expectations / "prompts" / "general.json")[:1]
    wrapper = LoggedWrapper(
        kind="onnx", contract="chat", model_id="", name=MODEL, version=version, size_bytes=1
    )
    return SmokeTester(prompts, settings, silent, 1).test(wrapper, "onnx", 0).error or ""


def predict(spy: Spy, version: int) -> str:
    """Ask the champion at the command line, and return the error that is printed."""
    uri = os.environ["MLFLOW_TRACKING_URI"]
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.set_registered_model_alias(MODEL, "champion", str(version))
    printed = spy.folder / "printed"
    with pytest.MonkeyPatch.context() as patch, printed.open("w", encoding="utf-8") as stderr:
        patch.setattr("sys.stderr", stderr)
        code = run(["predict", MODEL, SPAIN])
    text = printed.read_text("utf-8")
    return text if code else ""


Use = Callable[[Spy, int], str]
USES = pytest.mark.parametrize("use", [serve, preflight, smoke_test, predict])


@USES
def test_a_wrapper_finds_no_secret_of_whoever_runs_it(spy: Spy, use: Use) -> None:
    """Its environment tells where things are, and nothing of MLflow."""
    assert use(spy, spy.spying) == ""

    (seen,) = spy.environments()
    assert not [name for name in seen if name.startswith("MLFLOW_TRACKING_")]
    assert not SECRETS.keys() & seen.keys()
    assert "canary" not in json.dumps(seen)


@USES
def test_bytecode_beside_a_wrapper_is_refused_and_never_executed(spy: Spy, use: Use) -> None:
    """MLflow's loader would prefer it to the source, whose digest is the released one."""
    reason = use(spy, spy.planted)

    assert "__pycache__/onnx_genai.cpython-311.pyc is not part of a release" in reason
    assert spy.environments() == []
