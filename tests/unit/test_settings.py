"""Settings come from the environment, and Prefect's and MLflow's follow from them."""

from importlib.metadata import version
from pathlib import Path

import pytest

from slipway.errors import CatalogueInvalid
from slipway.settings import PROJECT, Settings, environment, toolchain


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what the machine that runs the tests has set."""
    for name in ("HOME", "CATALOGUE", "STEP_MEMORY_GB", "STEP_TIMEOUT_SECONDS", "MLFLOW_URL"):
        monkeypatch.delenv(f"SLIPWAY_{name}", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


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

    assert list(tools) == ["mlflow", "onnxruntime", "onnxruntime-genai", "torch", "transformers"]
    assert tools["transformers"] == version("transformers")
    assert tools["torch"] == version("torch").partition("+")[0]
