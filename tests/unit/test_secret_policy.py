"""Who finds which secret in its environment is written in one table, and nobody finds more."""

import re

import pytest

from slipway.settings import PROJECT
from slipway.system.secret_policy import ALLOWED, is_secret, visible

ADDRESS = "postgresql://ann:a-password@127.0.0.1/mlflow"
ENVIRONMENT = {
    "AWS_SECRET_ACCESS_KEY": "aws",
    "HF_TOKEN": "hf",
    "MLFLOW_TRACKING_PASSWORD": "mlflow",
    "MLFLOW_TRACKING_URI": ADDRESS,
    "PATH": "/bin",
    "PREFECT_API_AUTH_STRING": "prefect",
    "PREFECT_SERVER_DATABASE_PASSWORD": "database",
    "SLIPWAY_AUTH": "operator",
    "SLIPWAY_HUB_WEBHOOK_SECRET": "webhook",
    "https_proxy": "http://ann:a-password@proxy.example.org",
}


@pytest.mark.parametrize(
    ("name", "text", "secret"),
    [
        ("HF_TOKEN", "x", True),
        ("MLFLOW_TRACKING_PASSWORD", "x", True),
        ("PREFECT_API_AUTH_STRING", "x", True),
        ("PREFECT_API_KEY", "x", True),
        ("AWS_SECRET_ACCESS_KEY", "x", True),
        ("PGPASSWORD", "x", True),
        ("MLFLOW_TRACKING_URI", ADDRESS, True),
        ("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000", False),
        ("HF_HOME", "/home/ann", False),
        ("SLIPWAY_SERVING_MAX_TOKENS", "64", False),
        ("TOKENIZERS_PARALLELISM", "false", False),
        ("PATH", "/bin:/home/ann@work:/bin", False),
    ],
)
def test_a_secret_is_known_by_its_name_or_by_a_password_in_an_address(
    name: str, text: str, secret: bool
) -> None:
    """Tokens, passwords and keys are; folders and numbers are not."""
    assert is_secret(name, text) is secret


@pytest.mark.parametrize("who", ["build", "read source", "compare", "time", "render", "other"])
def test_who_is_not_in_the_table_finds_no_secret(who: str) -> None:
    """Building and measuring needs none, and neither does what nobody thought of."""
    assert visible(who, ENVIRONMENT) == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("who", "found"),
    [
        ("smoke-test onnx", {"MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_URI"}),
        ("model-server", {"MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_URI"}),
        ("mlflow", {"AWS_SECRET_ACCESS_KEY", "https_proxy"}),
        (
            "prefect",
            {"PREFECT_API_AUTH_STRING", "PREFECT_SERVER_DATABASE_PASSWORD", "https_proxy"},
        ),
        ("receiver", {"PREFECT_API_AUTH_STRING", "SLIPWAY_HUB_WEBHOOK_SECRET"}),
    ],
)
def test_who_is_in_the_table_finds_what_its_row_names(who: str, found: set[str]) -> None:
    """A step is found by the first word of its name."""
    assert visible(who, ENVIRONMENT).keys() - {"PATH"} == found


def test_the_page_on_security_has_the_same_table() -> None:
    """What is promised there is what is done."""
    page = (PROJECT / "docs" / "security.md").read_text(encoding="utf-8")

    rows = re.findall(r"^\| `([a-z-]+)` \| ((?:`[A-Z_*]+` ?)+)\|$", page, re.MULTILINE)
    assert {who: set(re.findall(r"`([^`]+)`", secrets)) for who, secrets in rows} == {
        who: set(patterns) for who, patterns in ALLOWED.items()
    }


def test_only_who_talks_to_the_hub_finds_its_token() -> None:
    """The worker does, whose runs download."""
    assert {who for who in ALLOWED if "HF_TOKEN" in visible(who, ENVIRONMENT)} == {"worker"}
