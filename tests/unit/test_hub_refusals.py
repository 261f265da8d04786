"""Each refusal or fault of the Hub has its own error, and nothing wrong is stored."""

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from slipway.errors import AccessDenied, SourceMissing, SourceRefused, Unreachable
from slipway.sources import hub
from slipway.system.progress import silent
from slipway.system.store import Store, verify
from slipway.values import HubSource
from tests.support.acme_models import NEEDED, REPO, TOKEN, contents
from tests.support.hub import Answer, LocalHub, RunningHub, error_status, html_page, wrong_bytes


@pytest.mark.parametrize("fault", [wrong_bytes, html_page])
def test_wrong_bytes_of_the_right_size_are_found_and_not_stored(
    running: RunningHub, source: HubSource, tmp_path: Path, fault: Any
) -> None:
    """The client compares sizes only; the file is requested again, which helps."""
    revision = hub.resolve(source)
    order = running.faults.add(fault, "*.safetensors")
    entries = Store(tmp_path / "store")

    made = entries.make("weights-1", lambda into: hub.fetch(source, revision, into, silent))

    assert order.met == 1
    assert contents(made.folder) == NEEDED
    verify(made)


def missing(source: HubSource) -> str:
    """Return the text of the error that resolving ``source`` raises."""
    with pytest.raises((AccessDenied, SourceMissing)) as caught:
        hub.resolve(source)
    return str(caught.value)


@pytest.mark.parametrize("repo", ["acme/nowhere", "acme--x/tiny", "acme/tiny.git"])
def test_a_missing_repository_is_named(source: HubSource, repo: str) -> None:
    """Also one with an invalid name."""
    advice = "check the name; set HF_TOKEN if it is private"

    assert missing(source.model_copy(update={"repo": repo})) == (
        f"repository {repo} was not found: {advice}"
    )


def test_a_missing_ref_is_named(source: HubSource) -> None:
    """Neither a branch nor a commit is taken for another."""
    for ref in ("v9", "0" * 40):
        assert missing(source.model_copy(update={"ref": ref})) == (
            f"'{ref}' in {REPO} was not found: name a branch, tag or commit of it as ref"
        )


def test_a_private_repository_opens_with_a_token(
    acme: LocalHub, source: HubSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one it looks like a missing repository."""
    acme.configure(REPO, private=True, readers=["ann"])

    assert missing(source).endswith("check the name; set HF_TOKEN if it is private")

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert hub.resolve(source).paths == tuple(sorted(NEEDED))


def test_an_unknown_token_is_an_error_without_retry(
    source: HubSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry would not help; the token is refused even for a public repository."""
    monkeypatch.setenv("HF_TOKEN", "hf_nobodys")

    assert missing(source).endswith(
        "correct HF_TOKEN, which the Hub does not know, or leave it out"
    )


def test_a_gated_repository_requires_accepted_terms(
    acme: LocalHub, source: HubSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its listing is open and its files are not, until the terms are accepted."""
    acme.configure(REPO, gated="manual", readers=["ann"])
    revision = hub.resolve(source)

    with pytest.raises(AccessDenied) as caught:
        hub.fetch(source, revision, tmp_path / "into", silent)

    assert str(caught.value) == (
        f"no access to {REPO}: accept its terms on the Hub "
        "and set HF_TOKEN to a token that may read it"
    )
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.fetch(source, revision, tmp_path / "again", silent)
    assert contents(tmp_path / "again") == NEEDED


def test_a_stopped_hub_is_unreachable(acme: LocalHub, running: RunningHub) -> None:
    """The error names the address and is retryable."""
    with acme.serve() as stopped:
        source = HubSource(repo=REPO, endpoint=stopped.endpoint)

    with pytest.raises(Unreachable) as caught:
        hub.resolve(source)

    assert caught.value.address == stopped.endpoint
    assert caught.value.reason.startswith("ConnectError:")
    assert caught.value.retryable


def test_offline_mode_is_reported(source: HubSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is configured to send no requests."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    with pytest.raises(Unreachable, match="OfflineModeIsEnabled"):
        hub.resolve(source)


@pytest.mark.parametrize(
    ("fault", "method"),
    [
        pytest.param(error_status(404), "HEAD", id="an answer that no Hub gives"),
        pytest.param(error_status(403), "GET", id="refused by something in between"),
    ],
)
def test_a_hub_that_breaks_off_is_unreachable(
    running: RunningHub, source: HubSource, tmp_path: Path, fault: Any, method: Any
) -> None:
    """What the server does wrong is never the source's fault: the same fetch may succeed later."""
    revision = hub.resolve(source)
    order = running.faults.add(fault, "*.safetensors", method=method, count=None)

    with pytest.raises(Unreachable):
        hub.fetch(source, revision, tmp_path / "into", silent)

    assert order.met > 0


def test_a_listed_file_that_is_gone_is_refused(
    running: RunningHub, source: HubSource, tmp_path: Path
) -> None:
    """A commit that was rewritten has to be resolved again."""
    revision = hub.resolve(source)
    gone = Answer(404, {"x-error-code": "EntryNotFound"})
    running.faults.add(lambda _: gone, "*.safetensors", method="HEAD")

    with pytest.raises(SourceRefused) as caught:
        hub.fetch(source, revision, tmp_path / "into", silent)

    rule = f"{REPO}: a listed file is gone at {revision.commit}; resolve it again"
    assert str(caught.value) == rule


def test_a_token_that_a_login_left_in_a_file_is_not_used(
    acme: LocalHub, source: HubSource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A release depends on its environment, and not on an earlier login."""
    acme.configure(REPO, private=True, readers=["ann"])
    (tmp_path / "token").write_text(TOKEN, encoding="utf-8")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)

    assert "was not found" in missing(source)
