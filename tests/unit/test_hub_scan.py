"""The Hub's own security scan: flagged refuses, pending waits, absent is recorded as unknown."""

import pytest

from slipway.errors import ScanPending, SourceRefused
from slipway.sources import hub
from slipway.values import HubSource
from tests.support.acme_models import REPO
from tests.support.hub import LocalHub, Security

WEIGHTS, UNUSED = "model[1].safetensors", "pytorch_model.bin"


@pytest.mark.parametrize(
    ("security", "scan"),
    [
        (None, "unknown"),
        (Security(scans_done=True, files_with_issues={}), "clean"),
        (Security(scans_done=True, files_with_issues={UNUSED: "unsafe"}), "clean"),
    ],
)
def test_the_result_of_the_scan_is_recorded(
    acme: LocalHub, source: HubSource, security: Security | None, scan: str
) -> None:
    """A mirror does not scan; a flag on a file that is not used does not matter."""
    acme.configure(REPO, security=security)

    assert hub.resolve(source).scan == scan


def test_a_flagged_or_unscanned_file_is_not_used(acme: LocalHub, source: HubSource) -> None:
    """The one is refused with its name; the other may be scanned later, so a retry may help."""
    acme.configure(REPO, security=Security(files_with_issues={WEIGHTS: "unsafe"}))
    with pytest.raises(SourceRefused) as refused:
        hub.resolve(source)

    acme.configure(REPO, security=Security(scans_done=False, files_with_issues={}))
    with pytest.raises(ScanPending) as pending:
        hub.resolve(source)

    assert str(refused.value).startswith(f"{WEIGHTS}: the Hub's security scan flags it as unsafe")
    assert pending.value.retryable
