"""Which process receives which variable is written in one table; nobody receives another one."""

import re
from pathlib import Path

import pytest

from slipway.settings import PROJECT, public_variables
from slipway.system.secret_policy import ALLOWED, BASE, MORE, visible

ADDRESS = "postgresql://ann:a-password@127.0.0.1/mlflow"
PROXY = "http://ann:a-password@proxy.example.org"
HARMLESS = {
    "HOME": "/home/ann",
    "LC_ALL": "C.UTF-8",
    "OMP_NUM_THREADS": "2",
    "PATH": "/bin",
    "SLIPWAY_SERVING_MAX_TOKENS": "64",
    "SSL_CERT_FILE": "/etc/ssl/ca.pem",
}
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "aws",
    "HF_TOKEN": "hf",
    "MLFLOW_TRACKING_PASSWORD": "mlflow",
    "MLFLOW_TRACKING_URI": ADDRESS,
    "PGPASSWORD": "database",
    "PREFECT_API_AUTH_STRING": "prefect",
    "PREFECT_API_DATABASE_CONNECTION_URL": ADDRESS,
    "PREFECT_SERVER_DATABASE_PASSWORD": "database",
    "SLIPWAY_AUTH": "operator",
    "SLIPWAY_HUB_WEBHOOK_SECRET": "webhook",
    "https_proxy": PROXY,
}
#: Secrets of other programs, and what no list of patterns finds.
FOREIGN = {
    *("AZURE_STORAGE_CONNECTION_STRING", "BW_SESSION", "CI_JOB_JWT", "DATABASE_URL", "DB_PASS"),
    *("DOCKER_AUTH_CONFIG", "GH_ENTERPRISE", "GITHUB_PAT", "KUBECONFIG", "MYSQL_PWD"),
    *("NPM_CONFIG__AUTH", "PGPASSFILE", "PIP_INDEX_URL", "PREFECT_CLIENT", "REDISCLI_AUTH"),
    *("SENTRY_DSN", "SLACK_WEBHOOK_URL", "SLIPWAY_NEW_SECRET", "SSH_AUTH_SOCK", "VAULT_ADDR"),
}
ENVIRONMENT = HARMLESS | SECRETS | dict.fromkeys(FOREIGN, "made-up")
MODULES = {"PYTHONPATH": str(PROJECT), "PYTHONSAFEPATH": "1"}


@pytest.mark.parametrize(
    "who",
    [
        *("build", "read source", "compare", "time", "render", "fork-server", "other"),
        *("smoke-test onnx", "preflight", "engine", "predict"),
    ],
)
def test_a_process_without_a_row_receives_the_base_row_alone(who: str) -> None:
    """What nobody thought of is not passed on, whatever its name."""
    assert visible(who, ENVIRONMENT) == HARMLESS | MODULES


@pytest.mark.parametrize(
    ("who", "found"),
    [
        ("fetch", {"MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_URI"}),
        ("log", {"MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_URI"}),
        ("model-server", {"MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_URI"}),
        (
            "mlflow",
            {
                *("AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_CONNECTION_STRING", "https_proxy"),
                *("PGPASSFILE", "PGPASSWORD"),
            },
        ),
        (
            "prefect",
            {
                *("PREFECT_API_AUTH_STRING", "PREFECT_API_DATABASE_CONNECTION_URL"),
                *("PREFECT_CLIENT", "PREFECT_SERVER_DATABASE_PASSWORD"),
                *("PGPASSFILE", "PGPASSWORD", "https_proxy"),
            },
        ),
        ("deploy", {"PREFECT_API_AUTH_STRING"}),
        ("receiver", {"PREFECT_API_AUTH_STRING", "SLIPWAY_HUB_WEBHOOK_SECRET"}),
        (
            "worker",
            {
                *("HF_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_URI"),
                *("PREFECT_API_AUTH_STRING", "https_proxy"),
            },
        ),
    ],
)
def test_a_process_receives_what_its_row_names(who: str, found: set[str]) -> None:
    """A step is found by the first word of its name."""
    assert visible(f"{who} onnx", ENVIRONMENT).keys() - HARMLESS.keys() - MODULES.keys() == found


def test_no_row_names_a_secret_of_another_program() -> None:
    """But for those of the two servers' databases and stores."""
    servers = {"AZURE_STORAGE_CONNECTION_STRING", "PGPASSFILE", "PREFECT_CLIENT"}

    for who in ALLOWED:
        assert visible(who, ENVIRONMENT).keys() & FOREIGN <= servers, who


def test_only_who_talks_to_the_hub_finds_its_token() -> None:
    """The workers do, whose runs download."""
    assert {who for who in ALLOWED if "HF_TOKEN" in visible(who, ENVIRONMENT)} == {
        *("release-worker", "worker"),
    }


def test_a_person_may_name_more_variables() -> None:
    """Every process receives them, and the list itself, so that its own children do as well."""
    more = {MORE: "MALLOC_*, github_pat,DB_PASS", "MALLOC_ARENA_MAX": "2"}

    seen = visible("build", ENVIRONMENT | more)

    assert seen == HARMLESS | MODULES | more | {"DB_PASS": "made-up"}


def test_a_base_variable_with_a_password_in_its_value_is_not_passed_on() -> None:
    """An address is harmless without one."""
    assert "HTTP_PROXY" in visible("build", {"HTTP_PROXY": "http://proxy.example.org"})
    assert "HTTP_PROXY" not in visible("build", {"HTTP_PROXY": PROXY})


def test_modules_come_from_the_checkout_alone() -> None:
    """An entry of the caller's path may be the folder in which a command is called."""
    seen = visible("build", {"PYTHONPATH": ":.:/srv", "PYTHONSAFEPATH": "", "PYTHONSTARTUP": "x"})

    assert seen == MODULES


def test_paths_are_absolute_for_processes_that_work_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative one is meant from the folder in which a person set it."""
    monkeypatch.chdir(tmp_path)
    given = {
        "SLIPWAY_HOME": "state",
        "SSL_CERT_FILE": "../ca.pem",
        "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db",
    }

    seen = visible("log", given)

    assert seen["SLIPWAY_HOME"] == f"{tmp_path}/state"
    assert seen["SSL_CERT_FILE"] == f"{tmp_path}/../ca.pem"
    assert seen["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path}/mlflow.db"


def test_the_page_on_security_has_the_same_table() -> None:
    """What is promised there is what is done."""
    page = (PROJECT / "docs" / "security.md").read_text(encoding="utf-8")

    rows = re.findall(r"^\| `?([a-z -]+)`? \| ((?:`[A-Z0-9_*]+` ?)+)\|$", page, re.MULTILINE)
    assert {who: set(re.findall(r"`([^`]+)`", names)) for who, names in rows} == {
        "every process": set(BASE) - set(public_variables()),
        **{who: set(patterns) for who, patterns in ALLOWED.items()},
    }
