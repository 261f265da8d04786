"""Validation runs in a child process with limits; what reaches one is refused in one line."""

import os
import time
from pathlib import Path

import pytest

from slipway.errors import SourceRefused
from slipway.validation import folders
from slipway.validation.folders import CheckpointFacts, FolderRequest
from tests.support.malformed import write_checkpoint


def takes_memory(request: FolderRequest) -> CheckpointFacts:
    """Take a gigabyte and a half, as a parser might."""
    held = bytearray(1_500_000_000)
    time.sleep(60)
    return CheckpointFacts(architecture=str(request.folder), parameters=len(held), templates=())


def takes_time(request: FolderRequest) -> CheckpointFacts:
    """Do not end."""
    time.sleep(60)
    return CheckpointFacts(architecture=str(request.folder), parameters=1, templates=())


def crashes(request: FolderRequest) -> CheckpointFacts:
    """End as a parser in C does."""
    os.abort()


@pytest.mark.parametrize(
    ("inspect", "reason"),
    [
        (takes_memory, "was ended for memory"),
        (takes_time, "did not end within 2 s"),
        (crashes, "crashed: killed by SIGABRT"),
    ],
)
def test_a_check_that_reaches_a_limit_refuses_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inspect: object, reason: str
) -> None:
    """The process of the flow itself lives on, and keeps its memory."""
    write_checkpoint(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setattr(folders, "_SECONDS", 2 if inspect is takes_time else 60)
    monkeypatch.setattr(folders, "_BYTES", 1_000_000_000)
    monkeypatch.setattr(folders, "inspect_checkpoint", inspect)

    with pytest.raises(SourceRefused, match=reason) as caught:
        folders.check_checkpoint(tmp_path)

    assert "log" not in str(caught.value)


def test_facts_are_those_of_the_same_checks_in_this_process(checkpoint: Path) -> None:
    """The child adds limits and nothing else."""
    here = folders.inspect_checkpoint(FolderRequest(folder=checkpoint))

    assert folders.check_checkpoint(checkpoint) == here
    assert here.architecture == "Phi3ForCausalLM"
