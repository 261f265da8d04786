"""What each part is started with."""

from configparser import ConfigParser
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from commands.main import run
from deployments import services
from slipway import catalogue
from slipway.errors import CatalogueInvalid, Exposed
from slipway.libraries import environment
from slipway.settings import Settings

PASSWORD = "a-long-100%-password"  # noqa: S105 - of a test


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings of a machine with a password and a token."""
    for name in ("PREFECT_API_URL", "SLIPWAY_MLFLOW_WEBHOOK_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    monkeypatch.setenv("SLIPWAY_AUTH", f"operator:{PASSWORD}")
    monkeypatch.setenv("HF_TOKEN", "hf_abc")
    return Settings()


def test_every_part_listens_on_loopback(settings: Settings) -> None:
    """Unless an address says otherwise, nobody from outside comes in."""
    everything = (*services.servers(settings), *services.workers(settings))

    assert len(everything) == 6
    assert all(part.url.startswith("http://127.0.0.1:") for part in everything)
    assert all(part.health.startswith(part.url) for part in everything)


def test_a_part_listens_at_one_address_and_is_found_at_another(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind the name of a container or a published port; it is asked where it is found."""
    for part in ("prefect", "mlflow", "receiver", "serving", "worker", "release_worker"):
        monkeypatch.setenv(f"SLIPWAY_{part.upper()}_LISTEN", "127.0.0.2:4300")
        monkeypatch.setenv(f"SLIPWAY_{part.upper()}_URL", f"http://{part}.example:80")
    found = Settings()

    for each in (*services.servers(found), *services.workers(found)):
        options = (*each.command, *each.variables.values())
        assert "127.0.0.2" in options
        assert "4300" in options
        assert each.listens == "http://127.0.0.2:4300"
        assert each.health.startswith(each.url)
        assert each.url.endswith(".example:80")
        assert each.setting.endswith("_LISTEN")
    worker = services.service_environment(services.worker(found), found)
    assert worker["PREFECT_API_URL"] == "http://prefect.example:80/api"
    assert worker["MLFLOW_TRACKING_URI"] == "http://mlflow.example:80"


def test_the_model_server_sees_no_secret_but_mlflows_password(settings: Settings) -> None:
    """It runs what others made, and needs the registry alone."""
    server = services.service_environment(services.model_server(settings), settings)
    worker = services.service_environment(services.worker(settings), settings)

    hidden = {"HF_TOKEN", "PREFECT_API_AUTH_STRING"}
    assert hidden & set(server) == set()
    assert hidden <= set(worker)
    assert "SLIPWAY_AUTH" not in server.keys() | worker.keys()
    assert server["MLFLOW_TRACKING_PASSWORD"] == PASSWORD


@pytest.mark.parametrize(
    ("step_gb", "machine_gb", "limit"),
    [("", 256, "1"), ("7", 8, "1"), ("7", 16.5, "2"), ("7", 23.9, "2"), ("7", 4, "1")],
)
def test_memory_decides_how_many_releases_a_machine_runs_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, step_gb: str, machine_gb: float, limit: str
) -> None:
    """A gigabyte for a release itself, and a step's limit; without a limit, a step may take all."""
    monkeypatch.setenv("SLIPWAY_STEP_MEMORY_GB", step_gb)
    monkeypatch.setenv("SLIPWAY_POOL", "cuda")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=machine_gb * 1e9))

    started = services.release_worker(Settings())

    assert started.command[started.command.index("--limit") + 1] == limit
    assert started.command[started.command.index("--pool") + 1] == "cuda"
    assert "--limit" not in services.worker(Settings()).command


def test_several_models_have_one_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The model server waits for the first champion of any of them."""
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    monkeypatch.setenv("SLIPWAY_SERVE", "tiny,other")
    server = services.model_server(Settings())
    tiny, other = (tmp_path / "serving" / name / "pointer.json" for name in ("tiny", "other"))
    was_waiting = server.is_waiting
    other.parent.mkdir(parents=True)
    other.write_text("{}", encoding="utf-8")

    place = server.command.index("--pointer")
    assert server.command[place + 1 : place + 3] == (str(tiny), str(other))
    assert server.title == "model server: tiny, other"
    assert (was_waiting, server.is_waiting) == (True, False)


def test_all_models_are_those_of_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is served as soon as it has a champion."""
    monkeypatch.setenv("SLIPWAY_SERVE", "all")

    assert services.served_models(Settings()) == tuple(catalogue.load(Settings().catalogue))


def test_no_setting_is_taken_for_a_secret(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A longest answer in tokens is no token."""
    monkeypatch.setenv("SLIPWAY_SERVING_MAX_TOKENS", "64")

    server = services.service_environment(services.model_server(settings), settings)

    assert server["SLIPWAY_SERVING_MAX_TOKENS"] == "64"


def test_a_databases_password_is_on_no_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any user of the machine may read those; the server alone finds it in its environment."""
    address = "postgresql://ann:a-password@127.0.0.1/mlflow"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    settings = Settings()

    server, worker = services.mlflow_server(settings), services.worker(settings)

    assert "a-password" not in " ".join(server.command)
    assert services.service_environment(server, settings)["MLFLOW_BACKEND_STORE_URI"] == address
    assert "a-password" not in str(services.service_environment(worker, settings))


def test_mlflow_reads_the_password_as_it_is(settings: Settings) -> None:
    """A percent sign means something to the format of its file."""
    variables = services.mlflow_server(settings).variables
    services.prepare(settings)

    file = ConfigParser()
    file.read(variables["MLFLOW_AUTH_CONFIG_PATH"])
    assert file["mlflow"]["admin_username"] == "operator"
    assert file["mlflow"]["admin_password"] == PASSWORD
    assert file["mlflow"]["default_permission"] == "NO_PERMISSIONS"


def test_looking_at_a_part_leaves_its_password_as_it_is(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A doctor with a wrong password must not write that one for MLflow to read."""
    services.prepare(settings)
    monkeypatch.setenv("SLIPWAY_AUTH", "operator:another-long-password")

    path = services.mlflow_server(Settings()).variables["MLFLOW_AUTH_CONFIG_PATH"]

    assert "another-long-password" not in Path(path).read_text(encoding="utf-8")


def test_no_part_shows_its_secrets(settings: Settings) -> None:
    """Not where it is printed, nor on its command line, which any user may read."""
    everything = (*services.servers(settings), *services.workers(settings))

    assert not any("password" in repr(part).lower() for part in everything)


@pytest.mark.parametrize("auth", ["operator", "operator:short", ":a-long-enough-password"])
def test_a_password_has_a_user_and_a_length(auth: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What MLflow would refuse when it starts is refused before, in one line."""
    monkeypatch.setenv("SLIPWAY_AUTH", auth)

    with pytest.raises(CatalogueInvalid, match=r"SLIPWAY_AUTH: .*expected user:password"):
        Settings()


@pytest.fixture
def without_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings of a new home, for which nobody chose a password."""
    for name in ("SLIPWAY_AUTH", "SLIPWAY_OPEN", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    return Settings()


def test_a_password_is_generated_once_and_found_by_every_command(
    without_password: Settings,
) -> None:
    """Each command of the same home signs in with it, and nothing has to be exported."""
    made = services.with_password(without_password)

    file = without_password.home / "secrets" / "auth"
    assert without_password.auth is None
    assert made.credentials
    assert made.credentials[0] == "slipway"
    assert len(made.credentials[1]) == 44
    assert file.stat().st_mode & 0o777 == 0o600
    assert Settings().auth == made.auth == services.with_password(Settings()).auth
    assert environment(Settings())["PREFECT_API_AUTH_STRING"] == file.read_text(encoding="utf-8")
    assert environment(Settings())["MLFLOW_TRACKING_PASSWORD"] == made.credentials[1]


def test_a_chosen_password_takes_the_place_of_a_generated_one(
    without_password: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file stays, for when the variable is unset again."""
    services.with_password(without_password)
    monkeypatch.setenv("SLIPWAY_AUTH", f"operator:{PASSWORD}")

    assert services.with_password(Settings()).credentials == ("operator", PASSWORD)


def test_open_servers_have_no_password(
    without_password: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where one was generated before; with one that was chosen, they are a contradiction."""
    services.with_password(without_password)
    monkeypatch.setenv("SLIPWAY_OPEN", "true")

    settings = services.with_password(Settings())
    assert settings.auth is None
    assert "PREFECT_SERVER_API_AUTH_STRING" not in services.prefect_server(settings).variables
    assert "basic-auth" not in services.mlflow_server(settings).command
    monkeypatch.setenv("SLIPWAY_AUTH", f"operator:{PASSWORD}")
    with pytest.raises(CatalogueInvalid, match="exclude each other"):
        Settings()


@pytest.mark.parametrize(
    ("prefect", "mlflow", "signed_in"),
    [
        ("", "", {"PREFECT", "MLFLOW"}),
        ("http://localhost:4200/api", "http://127.0.0.1:5000", {"PREFECT", "MLFLOW"}),
        ("https://api.prefect.cloud/api", "http://127.0.0.1:5000", {"MLFLOW"}),
        ("http://127.0.0.1:4200/api", "https://mlflow.acme.example:5000", {"PREFECT"}),
        ("http://127.0.0.1:9999/api", "http://127.0.0.1:9998", set()),
    ],
)
def test_a_generated_password_is_sent_to_the_servers_of_its_home_alone(
    without_password: Settings,
    monkeypatch: pytest.MonkeyPatch,
    prefect: str,
    mlflow: str,
    signed_in: set[str],
) -> None:
    """Somebody else's server would learn it; a chosen one is sent to whatever is named."""
    services.with_password(without_password)
    monkeypatch.setenv("PREFECT_API_URL", prefect)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow)

    found = environment(Settings())

    assert {name for name in ("PREFECT", "MLFLOW") if any(name in key for key in _sent(found))} == (
        signed_in
    )
    worker = services.service_environment(services.worker(Settings()), Settings())
    assert "PREFECT_API_AUTH_STRING" in worker  # its address is ours, whatever the shell says


def _sent(variables: dict[str, str]) -> set[str]:
    return variables.keys() & {"PREFECT_API_AUTH_STRING", "MLFLOW_TRACKING_PASSWORD"}


@pytest.mark.parametrize("server", ["PREFECT", "MLFLOW", "WORKER", "RELEASE_WORKER"])
def test_nothing_listens_beyond_this_machine_without_a_chosen_password(
    without_password: Settings, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    """Nobody elsewhere could know a generated one."""
    monkeypatch.setenv(f"SLIPWAY_{server}_URL", "http://0.0.0.0:4299")

    for is_open in ("false", "true"):
        monkeypatch.setenv("SLIPWAY_OPEN", is_open)
        with pytest.raises(Exposed, match=r"http://0\.0\.0\.0:4299 .* set SLIPWAY_AUTH"):
            services.with_password(Settings())
    monkeypatch.setenv("SLIPWAY_OPEN", "false")
    monkeypatch.setenv("SLIPWAY_AUTH", f"operator:{PASSWORD}")
    assert services.with_password(Settings()).auth


@pytest.mark.parametrize("server", ["PREFECT", "MLFLOW", "WORKER"])
def test_a_part_is_exposed_by_where_it_listens_and_where_it_is_found(
    without_password: Settings, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    """A generated password is sent to loopback alone, so behind a proxy nobody could sign in."""
    monkeypatch.setenv(f"SLIPWAY_{server}_LISTEN", "0.0.0.0:4299")
    with pytest.raises(Exposed, match=r"http://0\.0\.0\.0:4299 "):
        services.with_password(Settings())
    monkeypatch.setenv(f"SLIPWAY_{server}_LISTEN", "127.0.0.1:4299")
    assert services.with_password(Settings()).auth
    monkeypatch.setenv(f"SLIPWAY_{server}_URL", "http://servers.example:80")
    with pytest.raises(Exposed, match=r"http://servers\.example:80 "):
        services.with_password(Settings())


@pytest.mark.parametrize("server", ["RECEIVER", "SERVING"])
def test_what_knows_its_clients_may_listen_beyond_this_machine(
    without_password: Settings, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    """The receiver requires a secret or a signature, and the model server a key."""
    monkeypatch.setenv(f"SLIPWAY_{server}_URL", "http://0.0.0.0:8090")

    assert services.with_password(without_password).auth


def test_the_model_server_listens_beyond_this_machine_with_keys_alone(
    without_password: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`slipway up` says so in one line before it starts anything."""
    monkeypatch.setenv("SLIPWAY_SERVING_URL", "http://0.0.0.0:8080")

    assert run(["up"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("slipway: other machines could reach the model server at 0.0.0.0")
    assert "slipway keys new NAME" in line
    assert not (without_password.home / "logs").exists()


@pytest.mark.parametrize(
    ("setting", "package"),
    [
        ("SLIPWAY_ARTIFACTS=s3://bucket/path", "boto3"),
        ("MLFLOW_TRACKING_URI=postgresql://ann@127.0.0.1/mlflow", "psycopg2"),
    ],
)
def test_a_store_whose_package_is_missing_is_told_before_anything_starts(
    without_password: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    setting: str,
    package: str,
) -> None:
    """MLflow would start, and fail at the first upload of a release."""
    assert services.missing_driver(without_password) is None
    monkeypatch.setenv(*setting.split("=", 1))
    monkeypatch.setattr(services, "find_spec", lambda name: None if name == package else object())

    assert run(["up"]) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"slipway: {package} is not installed; ")
    assert "slipway[containers]" in line
