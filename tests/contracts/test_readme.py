"""The README's commands run as they stand, and its links lead somewhere."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.project import PROJECT

README = (PROJECT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line
]
#: Run by tests/end_to_end/test_embedded_model.py, from nothing; they take minutes.
LONG = {
    "slipway release smollm2-135m",
    'slipway predict smollm2-135m "What is the capital of Japan?"',
}
#: Runs until it is stopped.
ENDLESS = {"slipway ui", "slipway up", "slipway serve smollm2-135m"}
#: Needs what the command before it started.
BESIDE = {
    "export PREFECT_API_URL=http://127.0.0.1:4200/api MLFLOW_TRACKING_URI=http://127.0.0.1:5000",
    "slipway doctor",
}
NOT_RUN = LONG | ENDLESS | BESIDE


#: All pages that people read.
DOCUMENTS = sorted(
    path.relative_to(PROJECT)
    for place in ("*.md", "docs/**/*.md", "deployments/**/*.md", "commands/new_project/*.md")
    for path in PROJECT.glob(place)
)


def run(command: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run one command of the README in the project's folder."""
    path = f"{PROJECT / '.venv' / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        shlex.split(command),
        cwd=PROJECT,
        env=os.environ | {"PATH": path, "SLIPWAY_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", [each for each in COMMANDS if each not in NOT_RUN])
def test_a_command_of_the_readme_runs(command: str, tmp_path: Path) -> None:
    """Short commands run for real; make targets in a dry run."""
    dry = command.replace("make ", "make --dry-run ") if command.startswith("make") else command

    done = run(dry, tmp_path)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", sorted(LONG | ENDLESS))
def test_a_command_that_is_not_run_here_is_in_the_readme_and_exists(
    command: str, tmp_path: Path
) -> None:
    """Its help opens, so it is spelled correctly."""
    assert command in COMMANDS

    done = run(" ".join([*shlex.split(command)[:2], "--help"]), tmp_path)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links_lead_somewhere(document: Path) -> None:
    """A moved file, or a heading in other words, would leave a dead link."""
    text = (PROJECT / document).read_text(encoding="utf-8")

    dead = []
    for file, heading in re.findall(r"\]\((?!https?:|mailto:)([^)#]*)#?([^)]*)\)", text):
        target = (PROJECT / document).parent / file if file else PROJECT / document
        if not target.exists() or (heading and heading not in headings(target)):
            dead.append(f"{file}#{heading}")
    assert dead == []


def headings(page: Path) -> set[str]:
    """Return the addresses of a page's headings, as GitHub and GitLab make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_command_is_in_the_readme() -> None:
    """A newcomer finds commands there."""
    from commands.main import _COMMANDS

    assert [name for name in _COMMANDS if f"`slipway {name}" not in README] == []


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    """Heavy libraries take seconds to import."""
    code = "import sys; from commands.main import run; run(['--help']); print(*sys.modules)"

    done = run(f'python -c "{code}"', tmp_path)

    heavy = {"prefect", "mlflow", "torch", "transformers", "great_expectations", "huggingface_hub"}
    assert done.returncode == 0, done.stderr
    assert heavy & set(done.stdout.split()) == set()
