"""Each refusal or fault of the Hub has its own error, and nothing wrong is stored."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from slipway.errors import AccessDenied, SourceMissing, SourceRefused, Unreachable
from slipway.sources import hub, hub_client
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


def test_a_private_repository_opens_with_a_token_of_that_server(
    acme: LocalHub, source: HubSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one it looks like a missing repository, and one of another server is not sent."""
    acme.configure(REPO, private=True, readers=["ann"])

    assert missing(source).endswith("check the name; set HF_TOKEN if it is private")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert missing(source).endswith(
        "HF_TOKEN is only sent to the server of HF_ENDPOINT, over HTTPS or on this machine"
    )
    monkeypatch.setenv("HF_ENDPOINT", str(source.endpoint))
    assert hub.resolve(source).paths == tuple(sorted(NEEDED))


PUBLIC, OURS, HERE = "https://huggingface.co", "https://hub.example", "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("own", "endpoint", "is_sent"),
    [
        (None, None, True),
        (None, PUBLIC, True),
        (None, "http://huggingface.co", False),
        (None, OURS, False),
        (None, HERE, False),
        (None, f"{PUBLIC}@evil.example", False),
        (None, f"{PUBLIC}.evil.example", False),
        (OURS, None, True),
        (OURS, OURS, True),
        (OURS, PUBLIC, False),
        ("http://hub.example", "http://hub.example", False),
        (HERE, HERE, True),
        (HERE, "http://127.0.0.1:9000", False),
        ("http://localhost:8000", None, True),
    ],
)
def test_a_token_belongs_to_one_server(
    monkeypatch: pytest.MonkeyPatch, own: str | None, endpoint: str | None, is_sent: bool
) -> None:
    """That of HF_ENDPOINT, over HTTPS or on this machine; a catalogue may name any other."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    if own:
        monkeypatch.setenv("HF_ENDPOINT", own)

    assert (hub_client.token_for(endpoint) == TOKEN) is is_sent


def test_a_redirect_to_another_server_gets_no_token(
    acme: LocalHub,
    running: RunningHub,
    source: HubSource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The Hub's own files are on other servers than its pages."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
    revision = hub.resolve(source)
    with acme.serve() as elsewhere:
        path = f"/{REPO}/resolve/{revision.commit}/config.json"
        target = {"location": f"{elsewhere.endpoint}{path}"}
        running.faults.add(
            lambda answer: replace(answer, status=302, headers={**answer.headers, **target}),
            path,
            method=None,
            count=None,
        )
        hub.fetch(source, revision, tmp_path / "into", silent)

    assert contents(tmp_path / "into") == NEEDED
    assert {each.token for each in running.requests} == {TOKEN}
    assert elsewhere.requests
    assert {each.token for each in elsewhere.requests} == {None}


def test_an_unknown_token_is_an_error_without_retry(
    source: HubSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry would not help; the token is refused even for a public repository."""
    monkeypatch.setenv("HF_ENDPOINT", str(source.endpoint))
    monkeypatch.setenv("HF_TOKEN", "hf_nobodys")

    assert missing(source).endswith(
        "correct HF_TOKEN, which the Hub does not know, or leave it out"
    )


@pytest.mark.parametrize("own", ["", "https://huggingface.co/"])
def test_an_empty_address_is_that_of_the_public_hub(
    monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    """The client would take the empty text for an address; a slash at the end changes nothing."""
    monkeypatch.setenv("HF_ENDPOINT", own)
    monkeypatch.setenv("HF_TOKEN", TOKEN)

    assert hub_client.client(None).endpoint == "https://huggingface.co"
    assert hub_client.token_for(None) == TOKEN


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
    monkeypatch.setenv("HF_ENDPOINT", str(source.endpoint))
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
