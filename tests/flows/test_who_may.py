"""The whole line with people who have roles, and an MLflow server that knows them."""

from collections.abc import Callable
from typing import Any

import pytest

from commands.main import run
from flows.reconcile import reconcile
from tests.support.full_stack import mlflow_server
from tests.support.project import Project

pytestmark = pytest.mark.slow  # starts an MLflow server, and releases through it

Said = pytest.CaptureFixture[str]


def test_a_releaser_releases_a_promoter_approves_and_reconcile_keeps_it(
    project: Project,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    printed: Callable[..., Any],
) -> None:
    """The entry promotes at once; the history names the promoter; no hand removes the champion."""
    passwords = {"ops": "a-long-password"}

    def sign_in(name: str) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", passwords[name])

    with mlflow_server(tmp_path_factory.mktemp("mlflow"), auth=f"ops:{passwords['ops']}") as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        sign_in("ops")
        for name in ("releaser", "promoter"):
            passwords[name] = printed("users", "add", name, "--role", name)["password"]

        sign_in("releaser")
        assert printed("release", "tiny")["waiting"]
        assert run(["approve", "tiny", "--reason", "it is mine"]) == 2
        sign_in("promoter")
        assert (
            printed("approve", "tiny", "--reason", "read and good")["verdict"]["kind"] == "promoted"
        )
        sign_in("releaser")
        project.registry().client.delete_registered_model_alias("tiny", "champion")
        (state,) = printed("status", "tiny")
        sign_in("ops")
        reconcile()

        assert state["fault"].startswith("the champion was removed by hand")
        history = printed("history", "tiny")
        assert [(each["version"], each["kind"]) for each in history] == [
            (1, "promotion"),
            (None, "by-hand"),
            (1, "restored"),
        ]
        assert history[0]["audit"] == {"actor": "promoter", "reason": "read and good"}
