"""Settings come from the environment, and Prefect's and MLflow's follow from them."""

import os
from importlib.metadata import version
from pathlib import Path

import pytest

from slipway.errors import CatalogueInvalid
from slipway.libraries import TOOLS, environment, reach_loopback_directly, toolchain
from slipway.settings import PROJECT, Settings, absolute


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what the machine that runs the tests has set."""
    for name in ("HOME", "CATALOGUE", "STEP_MEMORY_GB", "STEP_TIMEOUT_SECONDS", "MLFLOW_URL"):
        monkeypatch.delenv(f"SLIPWAY_{name}", raising=False)


def test_without_any_setting_all_state_lies_in_one_folder_of_the_project() -> None:
    """A new clone works as it is; its registry is a file."""
    settings = Settings()

    assert settings.home == PROJECT / ".slipway"
    assert settings.catalogue == PROJECT / "catalogue.toml"
    assert settings.registry == f"sqlite:///{PROJECT / '.slipway' / 'mlflow' / 'mlflow.db'}"
    assert settings.step_memory_gb is None


def test_the_environment_moves_state_and_limits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every setting has an environment variable of its name."""
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    monkeypatch.setenv("SLIPWAY_STEP_MEMORY_GB", "6.5")
    monkeypatch.setenv("SLIPWAY_STEP_TIMEOUT_SECONDS", "60")

    settings = Settings()

    assert settings.mlflow == tmp_path / "mlflow"
    assert (settings.step_memory_gb, settings.step_timeout_seconds) == (6.5, 60)


def test_a_relative_home_is_absolute_for_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Prefect's and MLflow's processes may run in another folder."""
    monkeypatch.chdir(tmp_path)

    settings = Settings(home=Path("state"))

    assert settings.mlflow == tmp_path / "state" / "mlflow"
    assert environment(settings)["PREFECT_HOME"] == str(tmp_path / "state" / "prefect")


def test_a_registry_elsewhere_is_known_by_its_own_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The home has no database then, and the commands that only read must not make one."""
    elsewhere = tmp_path / "elsewhere.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{elsewhere}")

    before = Settings(home=tmp_path / "home").has_registry
    elsewhere.touch()

    assert (before, Settings(home=tmp_path / "home").has_registry) == (False, True)


def test_the_addresses_in_use_are_those_that_the_clients_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pages are linked where the servers are; where this machine's own listen, stays."""
    monkeypatch.setenv("PREFECT_API_URL", "http://server:4200/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000/")

    settings = Settings()

    assert settings.in_use.prefect_url == "http://server:4200"
    assert settings.in_use.mlflow_url == "http://server:5000"
    assert settings.prefect_url == "http://127.0.0.1:4200"
    assert settings.in_use.serving_url == settings.serving_url


def test_a_generated_password_is_not_sent_to_servers_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is known in this home alone."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "auth").write_text("slipway:a-generated-password", encoding="utf-8")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    here = Settings(home=tmp_path).in_use
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    elsewhere = Settings(home=tmp_path).in_use

    assert here.credentials == ("slipway", "a-generated-password")
    assert elsewhere.credentials is None


def test_a_server_named_as_mlflow_names_it_is_the_registry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """MLflow's own variable is used, so our tools and its tools use the same server."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")

    assert Settings().registry == "http://127.0.0.1:5000"


@pytest.mark.parametrize("name", ["SLIPWAY_STEP_MEMORY_GB", "SLIPWAY_STEP_TIMEOUT_SECONDS"])
@pytest.mark.parametrize("text", ["0", "-1", "nan", "much"])
def test_an_impossible_limit_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    """A limit must be able to stop something, and not everything."""
    monkeypatch.setenv(name, text)

    with pytest.raises(CatalogueInvalid, match=name):
        Settings()


def test_prefects_state_is_below_our_home_and_not_reported(tmp_path: Path) -> None:
    """Database, results and logs are below the home; no use is reported."""
    variables = environment(Settings(home=tmp_path))

    assert variables["PREFECT_HOME"] == str(tmp_path / "prefect")
    assert variables["PREFECT_RESULTS_LOCAL_STORAGE_PATH"] == str(tmp_path / "prefect" / "results")
    assert variables["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


@pytest.mark.parametrize("name", ["HF_ENDPOINT", "MLFLOW_TRACKING_URI", "SLIPWAY_PREFECT_URL"])
def test_an_address_with_a_password_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It would be shown in every error that has the address."""
    monkeypatch.setenv(name, "http://ann:a-password@127.0.0.1:9")

    with pytest.raises(CatalogueInvalid, match=f"{name}: .*without a password") as refused:
        Settings()

    assert "a-password" not in repr(refused.value) + str(refused.value)


def test_settings_do_not_show_the_databases_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database's address may have one in it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ann:a-password@127.0.0.1/mlflow")
    monkeypatch.setenv("SLIPWAY_AUTH", "operator:a-long-password")

    settings = Settings()

    assert settings.registry == "postgresql://ann:a-password@127.0.0.1/mlflow"
    assert "password@" not in repr(settings)
    assert "a-long-password" not in repr(settings)


def test_the_toolchain_is_the_installed_versions() -> None:
    """Without a build's label, such as ``+cpu``."""
    tools = toolchain()

    assert list(tools) == [*TOOLS]
    assert tools["transformers"] == version("transformers")
    assert tools["torch"] == version("torch").partition("+")[0]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("SLIPWAY_PREFECT_URL", "4300", "such as http://127.0.0.1:4200"),
        ("SLIPWAY_SERVING_URL", "127.0.0.1:8080", "such as http://127.0.0.1:4200"),
        ("SLIPWAY_MLFLOW_URL", "http://127.0.0.1:99999", "invalid port number"),
        ("SLIPWAY_MLFLOW_LISTEN", "http://0.0.0.0:5000", "expected host:port"),
        ("SLIPWAY_PREFECT_LISTEN", "4300", "expected host:port"),
        ("SLIPWAY_SERVING_LISTEN", "0.0.0.0:99999", "invalid port number"),
        ("HF_ENDPOINT", "hub.example.org", "such as http://127.0.0.1:4200"),
        ("MLFLOW_TRACKING_URI", "127.0.0.1:5000", "such as http://127.0.0.1:5000"),
        ("MLFLOW_TRACKING_URI", "htp://server:5000", "such as http://127.0.0.1:5000"),
        ("SLIPWAY_ALLOWED_HOSTS", "https://models.example.org", "should match pattern"),
        ("SLIPWAY_ALLOWED_ORIGINS", "*", "expected origins such as"),
        ("SLIPWAY_ALLOWED_ORIGINS", "https://chat.example/", "expected origins such as"),
        ("SLIPWAY_ALLOWED_ORIGINS", "app://notes,chat.example", "expected origins such as"),
        ("SLIPWAY_HOME", "~no-user-of-this-name/slipway", "expected a folder"),
        ("SLIPWAY_SERVE", "tiny,,other", "expected names of models"),
        ("SLIPWAY_SERVE", "all,tiny", "or all alone"),
        ("SLIPWAY_WORKER_QUEUES", "default,,serve", "expected names of queues"),
        ("SLIPWAY_SERVING_HOST", "a/b", "should match pattern"),
    ],
)
def test_a_setting_that_nothing_can_use_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, expected: str
) -> None:
    """One line with the variable, before a server fails at it."""
    monkeypatch.setenv(name, text)

    with pytest.raises(CatalogueInvalid, match=f"{name}: .*{expected}") as refused:
        Settings()

    assert len(refused.value.faults) == 1


@pytest.mark.parametrize(
    ("text", "models"),
    [
        ("", ("smollm2-135m",)),
        ("tiny", ("tiny",)),
        ("tiny, other ,tiny", ("tiny", "other")),
        ("all", ("all",)),
    ],
)
def test_the_model_server_serves_one_model_or_several(
    monkeypatch: pytest.MonkeyPatch, text: str, models: tuple[str, ...]
) -> None:
    """Names are separated by commas, and each of them counts once."""
    monkeypatch.setenv("SLIPWAY_SERVE", text)

    assert Settings().serve == models


@pytest.mark.parametrize(("text", "is_linked"), [("tiny,other", True), ("all", True), ("a", False)])
def test_the_page_of_a_served_model_is_linked(
    monkeypatch: pytest.MonkeyPatch, text: str, is_linked: bool
) -> None:
    """Of a model that another command serves, the address is not known."""
    monkeypatch.setenv("SLIPWAY_SERVE", text)

    assert (Settings().chat_page("other") is not None) == is_linked


def test_an_empty_setting_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a form or a compose file leaves it."""
    for name in ("SLIPWAY_HOME", "SLIPWAY_STEP_MEMORY_GB", "SLIPWAY_PREFECT_URL", "HF_ENDPOINT"):
        monkeypatch.setenv(name, "")

    settings = Settings()

    assert (settings.home, settings.step_memory_gb) == (PROJECT / ".slipway", None)
    assert (settings.prefect_url, settings.hub_endpoint) == ("http://127.0.0.1:4200", "")


def test_a_tilde_is_the_users_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Quotes keep a shell from replacing it; a child process gets the same folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SLIPWAY_HOME", "~/models")

    assert Settings().home == tmp_path / "models"
    assert absolute("SLIPWAY_HOME", "~/models") == str(tmp_path / "models")


@pytest.mark.parametrize("listed", ["", "corp.example", "localhost, corp.example"])
def test_no_proxy_is_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch, listed: str) -> None:
    """Both spellings, and what was listed stays."""
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", listed)

    reach_loopback_directly()
    reach_loopback_directly()

    names = os.environ["NO_PROXY"].split(",")
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"]
    assert {"127.0.0.1", "localhost", "::1", *filter(None, listed.split(", "))} == {*names}
    assert len(names) == len({*names})
