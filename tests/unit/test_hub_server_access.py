"""The local Hub shows private and gated models to those who may see them, and to no others."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

from tests.support.hub import LocalHub, RunningHub

REPO = "acme/tiny"
OWNER, READER, STRANGER, UNKNOWN = "hf_owner", "hf_reader", "hf_stranger", "hf_unknown"
ACCOUNTS = {OWNER: "acme", READER: "rita", STRANGER: "sam"}


@pytest.fixture
def hub(tmp_path: Path) -> LocalHub:
    """A Hub with accounts and one public model."""
    hub = LocalHub(tmp_path / "hub", ACCOUNTS)
    hub.push(REPO, {"config.json": b"{}"})
    return hub


@pytest.fixture
def running(hub: LocalHub) -> Iterator[RunningHub]:
    """The same Hub, reachable."""
    with hub.serve() as running:
        yield running


def signed_in(running: RunningHub, token: str | bool) -> HfApi:
    """Return the client with ``token``; False is nobody."""
    return HfApi(endpoint=running.endpoint, token=token)


@pytest.mark.parametrize(("token", "status"), [(False, 401), (STRANGER, 404)])
def test_a_private_model_does_not_exist_for_others(
    hub: LocalHub, running: RunningHub, token: str | bool, status: int
) -> None:
    """Nobody is asked to sign in; a stranger learns no more than of a model that is not there."""
    hub.configure(REPO, private=True, readers={"rita"})
    api = signed_in(running, token)

    with pytest.raises(RepositoryNotFoundError) as refused:
        api.model_info(REPO)

    assert refused.value.response.status_code == status
    assert list(api.list_models()) == []


@pytest.mark.parametrize("token", [OWNER, READER])
def test_a_private_model_is_shown_to_its_readers(
    hub: LocalHub, running: RunningHub, token: str, tmp_path: Path
) -> None:
    """Its owner reads it, and so does whom the owner named."""
    hub.configure(REPO, private=True, readers={"rita"})
    api = signed_in(running, token)

    folder = api.snapshot_download(REPO, local_dir=tmp_path / "weights", cache_dir=tmp_path)

    assert Path(folder, "config.json").read_bytes() == b"{}"
    assert [model.id for model in api.list_models()] == [REPO]
    assert api.model_info(REPO).private


@pytest.mark.parametrize(("token", "status"), [(False, 401), (STRANGER, 403)])
def test_a_gated_model_is_described_and_its_files_are_refused(
    hub: LocalHub, running: RunningHub, token: str | bool, status: int, tmp_path: Path
) -> None:
    """Everybody sees what it is; only readers get the bytes."""
    hub.configure(REPO, gated="manual")
    api = signed_in(running, token)

    with pytest.raises(GatedRepoError) as refused:
        api.hf_hub_download(REPO, "config.json", cache_dir=tmp_path)
    with pytest.raises(GatedRepoError):
        api.auth_check(REPO)

    assert refused.value.response.status_code == status
    assert api.model_info(REPO).gated == "manual"


def test_a_gated_model_is_given_to_its_readers(
    hub: LocalHub, running: RunningHub, tmp_path: Path
) -> None:
    """The right token opens the gate, and the check says so beforehand."""
    hub.configure(REPO, gated="auto", readers=["rita"])
    api = signed_in(running, READER)

    api.auth_check(REPO)
    path = api.hf_hub_download(REPO, "config.json", cache_dir=tmp_path)

    assert Path(path).read_bytes() == b"{}"


def test_the_hub_knows_whose_token_it_is(running: RunningHub) -> None:
    """A token names its account; one never given out is invalid, even for public models."""
    assert signed_in(running, READER).whoami()["name"] == "rita"
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        signed_in(running, UNKNOWN).whoami()
    with pytest.raises(HfHubHTTPError) as refused:
        signed_in(running, UNKNOWN).model_info(REPO)

    assert not isinstance(refused.value, RepositoryNotFoundError)
    assert refused.value.response.status_code == 401


def test_a_hub_without_accounts_lets_any_token_pass(tmp_path: Path) -> None:
    """The client sends the token for the real Hub along; that must not lock its owner out."""
    hub = LocalHub(tmp_path)
    commit = hub.push(REPO, {"config.json": b"{}"})

    with hub.serve() as running:
        info = signed_in(running, UNKNOWN).model_info(REPO)

    assert info.sha == commit


def test_the_log_says_that_a_token_came_and_not_which(running: RunningHub) -> None:
    """A log is shown around; tokens are not."""
    signed_in(running, READER).model_info(REPO)
    signed_in(running, False).model_info(REPO)

    assert [asked.signed_in for asked in running.requests] == [True, False]
    assert READER not in repr(running.requests)
