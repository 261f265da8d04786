"""Modules that must not be imported: they lie in a folder in which somebody calls a command."""

from collections.abc import Iterable
from pathlib import Path

#: What Python, our processes and their libraries import, or look for.
NAMES = (
    *(
        "boto3",
        "commands",
        "deployments",
        "flows",
        "mlflow",
        "numpy",
        "onnxruntime_genai",
        "pandas",
    ),
    *("prefect", "psutil", "psycopg2", "pydantic", "sitecustomize", "slipway", "tasks", "tests"),
    *("torch", "transformers", "usercustomize", "uvicorn", "yaml"),
)


def lay_traps(folder: Path, names: Iterable[str] = NAMES) -> Path:
    """Put a module of every name into ``folder``; return the file in which they note an import."""
    noted = folder.with_name(f"{folder.name}-imported.txt")
    note = (
        "import os, sys\n"
        f"with open({str(noted)!r}, 'a') as file:\n"
        "    print(__name__, os.getpid(), sys.argv, file=file)\n"
    )
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.py").write_text(note, encoding="utf-8")
    return noted


def imported(noted: Path) -> str:
    """Return which traps were imported, and by whom."""
    return noted.read_text(encoding="utf-8") if noted.exists() else ""
