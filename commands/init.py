"""``slipway init``: write a project of one's own."""

import shutil
from pathlib import Path

from commands import console, project
from slipway.errors import SourceRefused
from slipway.settings import PROJECT

_FILES = Path(__file__).parent / "new_project"
_EXPLANATION = "EXPECTATIONS.md"
_EXPECTATIONS = "expectations"


def init(folder: Path, *, json: bool = False) -> int:
    """Write a project: settings, catalogue, expectations and a script for CI; overwrites nothing.

    Args:
        folder: Where; it is made if there is none.
        json: Print the result as JSON.
    """
    folder = folder.expanduser().absolute()
    texts = {path.name: path.read_bytes() for path in _FILES.iterdir() if path.name != _EXPLANATION}
    texts[".gitignore"] = b".slipway/\n"
    for name in (*texts, _EXPECTATIONS):
        if (folder / name).exists():
            remedy = "name another folder, or remove it"
            raise SourceRefused(str(folder / name), "exists, and nothing is overwritten", remedy)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(PROJECT / _EXPECTATIONS, folder / _EXPECTATIONS)
    shutil.copyfile(_FILES / _EXPLANATION, folder / _EXPECTATIONS / "README.md")
    for name, content in texts.items():
        (folder / name).write_bytes(content)
    if json:
        console.show({"folder": str(folder), "files": sorted([*texts, _EXPECTATIONS])})
        return 0
    console.facts(
        f"A new project in {folder}",
        {
            project.FILE: "settings; commands find it from any folder below",
            "catalogue.toml": "the models to release; add one with `slipway add hf:ORG/MODEL`",
            f"{_EXPECTATIONS}/": "how releases are tested; its README.md explains the format",
            "ci.sh": "what a CI job runs",
            "next": f"cd {folder} && slipway models",
        },
    )
    return 0
