"""What is installed is locked: an exact version of each package, and the digest of every file."""

import re
from pathlib import Path

import pytest

from slipway.settings import PROJECT

LOCKS = sorted(PROJECT.glob("requirements*.txt"))
ENTRY = re.compile(r"[\w.-]+==[\w.!+]+( ; [^\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_package_has_an_exact_version_and_digests(lock: Path) -> None:
    """And nothing else: no index, no address, no option of pip."""
    text = re.sub(r"^#.*\n", "", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)

    assert ENTRY.search(text)
    assert ENTRY.sub("", text) == ""


def test_every_installation_demands_digests() -> None:
    """But for that of this checkout, which builds with what is locked."""
    files = (PROJECT / "Makefile", PROJECT / "deployments" / "install.sh")
    text = "\n".join(file.read_text(encoding="utf-8").replace("\\\n", " ") for file in files)

    found = [line for line in text.splitlines() if "pip install" in line]

    assert len(found) == 2
    assert all("--require-hashes" in line or "--no-build-isolation -e ." in line for line in found)
    assert all("--no-deps" in line for line in found)


def test_torchs_build_for_cpus_is_in_the_lock() -> None:
    """It has the same version, and other digests than that of the package index."""
    cpu = (PROJECT / "requirements-cpu.txt").read_text(encoding="utf-8")
    lock = (PROJECT / "requirements.txt").read_text(encoding="utf-8")

    (version,) = re.findall(r"^torch==(\S+)\+cpu", cpu, re.MULTILINE)
    (torch,) = re.findall(rf"^torch=={version} \\\n(?:    --hash.*\n)+", lock, re.MULTILINE)
    assert all(digest in torch for digest in re.findall(r"--hash=\S+", cpu))
