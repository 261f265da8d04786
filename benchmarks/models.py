"""The models that benchmarks measure: the embedded one, and a tiny one for trials."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Cost, observed
from slipway import catalogue
from slipway.settings import PROJECT
from slipway.values import Entry
from tests.support.project import lay_out
from tests.support.tiny_phi3 import write_checkpoint

EMBEDDED, TINY = "smollm2-135m", "tiny"
_COST = "cost.json"


@dataclass(frozen=True)
class Home:
    """A place with a catalogue, where a model is released.

    Attributes:
        folder: Holds all of it.
        model: Name of the entry.
        variables: Let commands use it.
    """

    folder: Path
    model: str
    variables: dict[str, str]

    @classmethod
    def at(cls, folder: Path, *, tiny: bool = True) -> "Home":
        """Return the place in a folder that was laid out."""
        place = folder if tiny else PROJECT
        variables = {
            "SLIPWAY_HOME": str(folder / "home"),
            "SLIPWAY_CATALOGUE": str(place / "catalogue.toml"),
            "SLIPWAY_EXPECTATIONS": str(place / "expectations"),
            "HF_HUB_OFFLINE": "1",
        }
        return cls(folder, TINY if tiny else EMBEDDED, variables)

    @property
    def entry(self) -> Entry:
        """Return the model's entry."""
        return catalogue.find(Path(self.variables["SLIPWAY_CATALOGUE"]), self.model)

    @property
    def home(self) -> Path:
        """Return where Slipway keeps its state."""
        return Path(self.variables["SLIPWAY_HOME"])

    @property
    def expectations(self) -> Path:
        """Return the folder of suites, prompts and texts."""
        return Path(self.variables["SLIPWAY_EXPECTATIONS"])

    @property
    def logged(self) -> Path:
        """Return the folder of the logged ONNX wrapper that is champion."""
        return next((self.home / "copies" / self.model).glob("*/model"))

    @property
    def artifact(self) -> Path:
        """Return the folder of the champion's artifact."""
        return self.logged / "artifacts" / "model"

    def stored(self, kind: str) -> list[Path]:
        """Return what the store has of a kind: ``weights``, ``artifact`` or ``reading``."""
        folders = (self.home / "store").glob(f"{kind}-*/model")
        return sorted(folder for folder in folders if folder.is_dir())

    @property
    def cost(self) -> Cost:
        """Return what its release cost."""
        return Cost.model_validate_json((self.folder / _COST).read_bytes())


def fresh_home(folder: Path, *, tiny: bool) -> Home:
    """Return an empty place, without any cache."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if tiny:
        checkpoint = write_checkpoint(folder.with_name(f"{folder.name}-checkpoint"))
        lay_out(folder, checkpoint)
    return Home.at(folder, tiny=tiny)


def release(home: Home) -> Home:
    """Release the model of a place once, and note what that cost."""
    cost = observed("-m", "slipway", "release", home.model, more=home.variables)
    if cost.exit_code:
        raise SystemExit(f"{home.model} was not promoted:\n{cost.output}")
    (home.folder / _COST).write_text(cost.model_dump_json(), encoding="utf-8")
    return home


def released_home(work: Path, quick: bool, *, tiny: bool = False) -> Home:
    """Return a place where the model is released; one that is there already is used again.

    Args:
        work: Folder of the benchmarks.
        quick: Whether this is a trial, which takes the tiny model.
        tiny: Whether the tiny model is measured anyway.
    """
    is_tiny = quick or tiny
    folder = work / (TINY if is_tiny else EMBEDDED)
    if (folder / _COST).is_file():
        return Home.at(folder, tiny=is_tiny)
    return release(fresh_home(folder, tiny=is_tiny))
