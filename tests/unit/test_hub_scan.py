"""The Hub's own security scan: flagged refuses, pending waits, absent is recorded as unknown."""

from pathlib import Path

import pytest

from slipway.errors import ScanPending, SourceRefused
from slipway.sources import hub
from slipway.values import HubSource
from tests.support.hub import LocalHub, Security

FILES = {
    "README.md": b"---\nlicense: mit\n---\n",
    "config.json": b"{}",
    "model.safetensors": b"weights",
    "training.bin": b"not used",
}


@pytest.mark.parametrize(
    ("security", "scan"),
    [
        (None, "unknown"),
        (Security(scans_done=True, files_with_issues={}), "clean"),
        (Security(scans_done=True, files_with_issues={"training.bin": "unsafe"}), "clean"),
    ],
)
def test_the_result_of_the_scan_is_recorded(
    tmp_path: Path, security: Security | None, scan: str
) -> None:
    """A mirror does not scan; a flag on a file that is not used does not matter."""
    hub_here = LocalHub(tmp_path)
    hub_here.push("acme/scanned", FILES)
    hub_here.configure("acme/scanned", security=security)

    with hub_here.serve() as running:
        revision = hub.resolve(HubSource(repo="acme/scanned", endpoint=running.endpoint))

    assert revision.scan == scan


def test_a_flagged_file_that_is_used_is_refused(tmp_path: Path) -> None:
    """The error names the file, the result, and the page to read."""
    hub_here = LocalHub(tmp_path)
    hub_here.push("acme/scanned", FILES)
    flagged = {"model.safetensors": "unsafe"}
    hub_here.configure(
        "acme/scanned", security=Security(scans_done=True, files_with_issues=flagged)
    )

    with hub_here.serve() as running, pytest.raises(SourceRefused) as raised:
        hub.resolve(HubSource(repo="acme/scanned", endpoint=running.endpoint))

    assert str(raised.value).startswith("model.safetensors: the Hub's security scan flags it")


def test_a_scan_that_is_not_done_is_an_error(tmp_path: Path) -> None:
    """Unscanned files are not used; the error is retryable."""
    hub_here = LocalHub(tmp_path)
    hub_here.push("acme/scanned", FILES)
    hub_here.configure("acme/scanned", security=Security(scans_done=False, files_with_issues={}))

    with hub_here.serve() as running, pytest.raises(ScanPending) as raised:
        hub.resolve(HubSource(repo="acme/scanned", endpoint=running.endpoint))

    assert raised.value.retryable
