"""Whatever the Hub refuses or spoils is told apart, and nothing wrong is kept."""

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
def test_other_bytes_of_the_same_size_are_found_and_not_kept(
    running: RunningHub, source: HubSource, tmp_path: Path, fault: Any
) -> None:
    """The client itself compares sizes alone; the file is asked for again, and that helps."""
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
def test_a_repository_that_is_not_there_is_named(source: HubSource, repo: str) -> None:
    """Also one whose name could be nobody's."""
    advice = "check the name; set HF_TOKEN if it is private"

    assert missing(source.model_copy(update={"repo": repo})) == (
        f"repository {repo} was not found: {advice}"
    )


def test_a_ref_that_is_not_there_is_named(source: HubSource) -> None:
    """Neither a branch nor a commit is taken for another."""
    for ref in ("v9", "0" * 40):
        assert missing(source.model_copy(update={"ref": ref})) == (
            f"'{ref}' in {REPO} was not found: name a branch, tag or commit of it as ref"
        )


def test_a_private_repository_opens_with_a_token(
    acme: LocalHub, source: HubSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one it looks as if it were not there."""
    acme.configure(REPO, private=True, readers=["ann"])

    assert missing(source).endswith("check the name; set HF_TOKEN if it is private")

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert hub.resolve(source).paths == tuple(sorted(NEEDED))


def test_a_token_that_the_hub_does_not_know_is_no_matter_of_patience(
    source: HubSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking again would not help; it is refused even where the repository is open to all."""
    monkeypatch.setenv("HF_TOKEN", "hf_nobodys")

    assert missing(source).endswith(
        "correct HF_TOKEN, which the Hub does not know, or leave it out"
    )


def test_a_gated_repository_asks_for_its_terms(
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


def test_a_hub_that_nobody_runs_is_unreachable(acme: LocalHub, running: RunningHub) -> None:
    """The text names the address, and the error says that trying again may help."""
    with acme.serve() as stopped:
        source = HubSource(repo=REPO, endpoint=stopped.endpoint)

    with pytest.raises(Unreachable) as caught:
        hub.resolve(source)

    assert caught.value.address == stopped.endpoint
    assert caught.value.reason.startswith("ConnectError:")
    assert caught.value.retryable


def test_an_offline_client_says_so(source: HubSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody has told the client not to ask anybody."""
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
    """When the Hub itself says so: a commit that was rewritten has to be resolved again."""
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
    """A release depends on what its environment says, and not on who once logged in."""
    acme.configure(REPO, private=True, readers=["ann"])
    (tmp_path / "token").write_text(TOKEN, encoding="utf-8")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)

    assert "was not found" in missing(source)
