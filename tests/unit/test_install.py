"""``deployments/install.sh`` says in one line why it cannot start, and leaves nothing behind."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.project import PROJECT


def install(environment: Path, python: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the script with an interpreter."""
    return subprocess.run(
        ["/bin/sh", "deployments/install.sh", str(environment)],
        cwd=PROJECT,
        env=os.environ | {"PYTHON": str(python)} | more,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """Return an interpreter that says it is Python 3.10, and cannot do more."""
    script = tmp_path / "python3.10"
    script.write_text(
        '#!/bin/sh\ncase "$2" in *exit*) exit 1;; *print*) echo 3.10;; *) exit 7;; esac\n',
        encoding="utf-8",
    )
    script.chmod(0o755)
    return script


def test_an_unsupported_python_is_reported_first(tmp_path: Path, python: Path) -> None:
    """Nothing is made that the next call would have to repair."""
    done = install(tmp_path / "venv", python)

    assert done.returncode == 2
    assert done.stderr == (
        f"slipway: {python} is Python 3.10, and Slipway needs 3.11, 3.12 or 3.13; name one: "
        "make PYTHON=/path/to/python3.11\n"
    )
    assert not (tmp_path / "venv").exists()


def test_an_environment_of_an_unsupported_python_is_named(tmp_path: Path, python: Path) -> None:
    """As an earlier attempt left it."""
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    shutil.copy(python, tmp_path / "venv" / "bin" / "python")

    done = install(tmp_path / "venv", python)

    assert done.returncode == 2
    assert done.stderr.startswith(f"slipway: {tmp_path / 'venv'} has Python 3.10, and Slipway")
    assert done.stderr.endswith(f"; remove {tmp_path / 'venv'}\n")


def test_a_python_that_does_not_run_is_named(tmp_path: Path) -> None:
    """The default, `python3`, may be missing."""
    done = install(tmp_path / "venv", tmp_path / "nothing")

    assert done.returncode == 2
    assert done.stderr.startswith(f"slipway: {tmp_path / 'nothing'} does not run; install Python")


def test_a_python_without_venv_leaves_no_environment(tmp_path: Path) -> None:
    """Debian has `venv` in a package of its own, and `python -m venv` stops half way without it."""
    script = tmp_path / "python3"
    script.write_text(
        '#!/bin/sh\ncase "$2" in venv) mkdir -p "$3/bin"; echo "No ensurepip"; exit 1;; '
        "*print*) echo 3.11;; esac\n",
        encoding="utf-8",
    )
    script.chmod(0o755)

    done = install(tmp_path / "venv", script)

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"slipway: {script} cannot make an environment: No ensurepip "
    )
    assert not (tmp_path / "venv").exists()


def test_no_network_is_two_lines_and_a_log(tmp_path: Path) -> None:
    """Of pip's retries and its advice about versions, nothing is shown."""
    environment = tmp_path / "venv"
    (environment / "bin").mkdir(parents=True)
    script = environment / "bin" / "python"
    script.write_text(
        '#!/bin/sh\ncase "$2" in *print*) echo 3.11;; pip) echo "WARNING: Retrying after '
        "NewConnectionError\"; echo 'ERROR: No matching distribution found'; exit 1;; esac\n",
        encoding="utf-8",
    )
    script.chmod(0o755)

    done = install(environment, script)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[-2:] == [
        (
            "slipway: nothing more was installed: the package index does not answer; check the "
            "network, or PIP_INDEX_URL"
        ),
        (
            f"slipway: the full output is in {environment}/setup.log; run the same command again "
            "to continue"
        ),
    ]
    assert "WARNING" not in done.stderr
    assert "Retrying" in (environment / "setup.log").read_text(encoding="utf-8")
