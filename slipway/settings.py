"""Settings: what differs between machines. Read in tasks, commands and deployments, passed down."""

import json
import os
import re
from importlib.metadata import version
from pathlib import Path
from socket import gethostname
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import (
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from slipway.errors import CatalogueInvalid, SourceMissing
from slipway.values import Environment, EnvironmentName

PROJECT = Path(__file__).resolve().parent.parent

#: Packages whose version shapes the bytes of an artifact or the behaviour of a wrapper.
TOOLS = (
    *("jinja2", "mlflow", "onnxruntime", "onnxruntime-genai"),
    *("tokenizers", "torch", "transformers"),
)

#: Read by the libraries when they are imported: they report nothing to their makers.
TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # The traces of a release stay in MLflow, wherever the model server sends the spans of requests.
    "MLFLOW_ENABLE_OTLP_EXPORTER": "false",
    # A server on S3 would hand out addresses of its bucket, which its clients may have no way to.
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "ORT_DISABLE_TELEMETRY": "1",
}

#: As the only name in SLIPWAY_SERVE: every model of the catalogue that has a champion.
EVERY_CHAMPION = "all"

#: In SLIPWAY_WORKER_QUEUES: the queue of redeploys of the worker's own host.
SERVE_QUEUE = "serve"

#: Time between two heartbeats of a flow run; without one for four times as long, it is crashed.
HEARTBEAT_SECONDS = 30

#: Variables that hold a path; a relative one is meant from the folder of whoever set it.
_PATHS = frozenset(
    {
        *("SLIPWAY_HOME", "SLIPWAY_CATALOGUE", "SLIPWAY_EXPECTATIONS", "SLIPWAY_WRAPPERS"),
        *("SLIPWAY_SERVE_KEYS_FILE", "SLIPWAY_SIGNING_KEY", "SLIPWAY_VERIFY_KEY"),
        *("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE"),
        *("HF_HOME", "MPLCONFIGDIR", "PREFECT_HOME", "TMPDIR"),
    }
)

#: How addresses of MLflow's stores begin; of a database, a driver may follow, as in mysql+pymysql.
_STORES = ("/", "databricks", "file:", "mssql", "mysql", "postgresql", "sqlite:", "uc:")
_URL = TypeAdapter(HttpUrl)
_LISTEN = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:/?#@\s]+):\d{1,5}")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s*]+", re.IGNORECASE)

_SHORTEST_PASSWORD = 12  # characters; MLflow refuses shorter ones


#: Settings that hold the address of a server.
_SERVERS = (
    *("hub_endpoint", "prefect_api_url", "mlflow_url", "prefect_url", "public_mlflow_url"),
    *("public_prefect_url", "receiver_url", "release_worker_url", "serving_url", "worker_url"),
)

#: Settings that hold where a part listens.
_LISTENERS = (
    *("mlflow_listen", "prefect_listen", "receiver_listen", "release_worker_listen"),
    *("serving_listen", "worker_listen"),
)


class Settings(BaseSettings):
    """Read from environment variables that begin with ``SLIPWAY_``; an empty one counts as not set.

    Attributes:
        home: Folder of all state: store, MLflow, Prefect, logs.
        expectations: Folder of suites, schemas and smoke prompts.
        wrappers: Folder of the files that are shipped inside a model.
        hub_endpoint: Empty for the public Hub.
        prefect_api_url: Prefect's address for clients; empty for a temporary server.
        tracking_uri: MLflow's address; empty for a database below ``home``.
        public_mlflow_url: Where people open MLflow's pages, if it is not where the server listens.
        public_prefect_url: The same for Prefect's pages.
        worker_url: Where the worker's health check is found.
        release_worker_url: The same of the worker that releases models.
        pool: Work pool of that worker: what its machine measures artifacts on.
        mlflow_listen: Where MLflow listens, as ``host:port``; empty for the host and the port of
            ``mlflow_url``. The same setting of each other part is where that part listens.
        allowed_hosts: Names, separated by commas, under which the servers are reached besides
            loopback's and those of their addresses.
        allowed_origins: Origins of the web pages that may use the model server, separated by
            commas.
        artifacts: Where the MLflow server keeps artifacts; empty for a folder below ``home``.
        serve: Models that the model server of ``slipway up`` serves, separated by commas; ``all``
            for every model of the catalogue that has a champion.
        serving_host: Host of the model server, whose queue receives the redeploys.
        worker_queues: Queues that a worker takes, separated by commas; ``serve`` stands for that of
            the worker's own host.
        serve_key: A key of a model server, for `slipway chat`.
        serve_keys_file: Keys of the model servers; None for ``keys_file`` if that exists.
        signing_key: Private key that signs releases; None for that of ``home``, if there is one.
        verify_key: Public key of releases; with it, nothing is loaded that it does not verify.
        open: Whether both servers of ``slipway up`` accept unauthenticated requests.
        auth: ``user:password`` of both servers; by default the one that ``slipway up`` generated.
        mlflow_webhook_secret: Signs MLflow's webhooks; without it, a secret of this machine's own.
        notify_block: Prefect block for messages, as ``type/name``; without it none are sent.
        parallel_runs: Most flow runs at once, beside releases.
        step_timeout_seconds: Time limit of one child process.
        step_memory_gb: Memory limit of one child process; None for no limit of ours. With it, a
            machine releases as many models at once as its memory has room for.
        speed_rounds: How often each candidate is loaded and timed; the median counts.
        load_timeout_seconds: Time limit of a model server for loading a version.
        serving_rows: Answers that one worker of a server generates at the same time.
        serving_queue: Requests that may wait in one worker of a server; more get status 429.
        serving_max_tokens: Most tokens of one answer; longer answers are cut.
        serving_request_seconds: Time limit of one request, the wait included.
        serving_silence_seconds: An engine without a sign of life for this long is ended.
        serving_memory_gb: Memory limit of one engine; None for what its model needs.
        environment: Name of the environment that this MLflow belongs to, for the history of others.
        environments: Those that releases are promoted to, by name, as JSON.
        keep_days: After so many days without use, a clean-up deletes caches, logs and results.
    """

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_", env_ignore_empty=True, frozen=True)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            faults = (
                f"{_place(each['loc'])}: {each['msg'].removeprefix('Value error, ')}"
                for each in error.errors()
            )
            raise CatalogueInvalid("the environment", tuple(faults)) from error

    home: Path = PROJECT / ".slipway"
    catalogue: Path = PROJECT / "catalogue.toml"
    expectations: Path = PROJECT / "expectations"
    wrappers: Path = PROJECT / "wrappers"
    hub_endpoint: str = Field(default="", validation_alias="HF_ENDPOINT")
    prefect_api_url: str = Field(default="", validation_alias="PREFECT_API_URL")
    tracking_uri: str = Field(default="", validation_alias="MLFLOW_TRACKING_URI", repr=False)
    mlflow_url: str = "http://127.0.0.1:5000"
    prefect_url: str = "http://127.0.0.1:4200"
    public_mlflow_url: str = ""
    public_prefect_url: str = ""
    receiver_url: str = "http://127.0.0.1:8090"
    serving_url: str = "http://127.0.0.1:8080"
    worker_url: str = "http://127.0.0.1:8091"
    release_worker_url: str = "http://127.0.0.1:8092"
    pool: Literal["cpu", "cuda"] = "cpu"
    mlflow_listen: str = ""
    prefect_listen: str = ""
    receiver_listen: str = ""
    serving_listen: str = ""
    worker_listen: str = ""
    release_worker_listen: str = ""
    allowed_hosts: str = Field(default="", pattern=r"^[^/@]*$")
    allowed_origins: str = ""
    artifacts: str = ""
    serve: Annotated[tuple[str, ...], NoDecode] = ("smollm2-135m",)
    serving_host: str = Field(default_factory=gethostname, pattern=r"^[\w.-]+$")
    worker_queues: Annotated[tuple[str, ...], NoDecode] = ("default", SERVE_QUEUE)
    serve_key: SecretStr | None = None
    serve_keys_file: Path | None = None
    signing_key: Path | None = None
    verify_key: Path | None = None
    open: bool = False
    auth: SecretStr | None = Field(default=None, validate_default=True)
    mlflow_webhook_secret: SecretStr | None = None
    notify_block: str = Field(default="", pattern=r"^([^/]+/[^/]+)?$")
    parallel_runs: int = Field(default=4, ge=2)
    step_timeout_seconds: float = Field(default=3600, gt=0)
    step_memory_gb: float | None = Field(default=None, gt=0)
    speed_rounds: int = Field(default=3, ge=1)
    load_timeout_seconds: float = Field(default=600, gt=0)
    serving_rows: int = Field(default=8, ge=1, le=64)
    serving_queue: int = Field(default=16, ge=0)
    serving_max_tokens: int = Field(default=4096, gt=0)
    serving_request_seconds: float = Field(default=300, gt=0)
    serving_silence_seconds: float = Field(default=60, gt=0)
    serving_memory_gb: float | None = Field(default=None, gt=0)
    environment: EnvironmentName = "dev"
    environments: Annotated[dict[EnvironmentName, Environment], NoDecode] = Field(
        default_factory=dict
    )
    keep_days: float = Field(default=30, ge=1, allow_inf_nan=False)

    @field_validator(
        *("home", "catalogue", "expectations", "wrappers"),
        *("serve_keys_file", "signing_key", "verify_key"),
    )
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        """Return the same place for processes that work in another folder."""
        try:
            return path and path.expanduser().absolute()
        except RuntimeError as error:  # ~name of no user
            raise ValueError(f"got {str(path)!r} (expected a folder; {error})") from error

    @field_validator("allowed_origins")
    @classmethod
    def _each_origin_by_name(cls, origins: str) -> str:
        """Refuse ``*``: every web page could then use a server of this machine."""
        for origin in origins.split(",") if origins else ():
            if not _ORIGIN.fullmatch(origin.strip()):
                expected = "expected origins such as https://chat.example, separated by commas"
                raise ValueError(expected)
        return origins

    @field_validator("serve", mode="before")
    @classmethod
    def _listed_models(cls, names: Any) -> Any:
        expected = f"expected names of models, separated by commas, or {EVERY_CHAMPION} alone"
        found = _listed(names, expected)
        if isinstance(names, str) and EVERY_CHAMPION in found and len(found) > 1:
            raise ValueError(expected)
        return found

    @field_validator("worker_queues", mode="before")
    @classmethod
    def _listed_queues(cls, names: Any) -> Any:
        return _listed(names, "expected names of queues, separated by commas")

    @field_validator("environments", mode="before")
    @classmethod
    def _as_json(cls, environments: Any) -> Any:
        return json.loads(environments) if isinstance(environments, str) else environments

    @field_validator("auth", mode="before")
    @classmethod
    def _or_generated(cls, auth: Any, info: ValidationInfo) -> Any:
        is_open, home = info.data.get("open"), info.data.get("home")
        if is_open and auth is not None:
            contradiction = "a password and open servers (SLIPWAY_OPEN, --open) exclude each other"
            raise ValueError(contradiction)
        return auth if is_open or auth is not None or home is None else _generated(home)

    @field_validator("auth")
    @classmethod
    def _named_and_long(cls, auth: SecretStr | None) -> SecretStr | None:
        if auth is None:
            return None
        user, _, password = auth.get_secret_value().partition(":")
        if not user or len(password) < _SHORTEST_PASSWORD:
            expected = f"expected user:password, a password of {_SHORTEST_PASSWORD} or more"
            raise ValueError(expected)
        return auth

    @field_validator("tracking_uri", *_SERVERS)
    @classmethod
    def _without_a_password(cls, address: str) -> str:
        """Refuse a password in an address, since addresses are shown; a database's is not shown."""
        if address.startswith("http") and has_password(address):
            expected = "expected an address without a password; SLIPWAY_AUTH or HF_TOKEN signs in"
            raise ValueError(expected)
        return _absolute_store(address)

    @field_validator(*_SERVERS)
    @classmethod
    def _of_a_server(cls, address: str) -> str:
        """Refuse what no client can reach and no server can listen at."""
        if address:
            _require_url(address)
        return address.rstrip("/")

    @field_validator(*_LISTENERS)
    @classmethod
    def _host_and_port(cls, address: str) -> str:
        if address and not _LISTEN.fullmatch(address):
            raise ValueError(f"got {address!r} (expected host:port, such as 0.0.0.0:5000)")
        if address:
            _require_url(f"http://{address}")
        return address

    @field_validator("tracking_uri")
    @classmethod
    def _of_a_store(cls, address: str) -> str:
        """Refuse a scheme that MLflow does not know; it takes a host before a port for one."""
        if address.startswith("http"):
            _require_url(address)
        elif ":" in address and not address.startswith(_STORES):
            raise ValueError(
                f"got {address!r} (expected an address such as http://127.0.0.1:5000, "
                "sqlite:////path/mlflow.db or postgresql://host/database)"
            )
        return address

    @property
    def auth_is_generated(self) -> bool:
        """Whether nobody chose the password: it is known in this home alone."""
        return self.auth is not None and "auth" not in self.model_fields_set

    @property
    def credentials(self) -> tuple[str, str] | None:
        """User and password of both servers; None if they accept unauthenticated requests."""
        if self.auth is None:
            return None
        user, _, password = self.auth.get_secret_value().partition(":")
        return user, password

    def chat_page(self, model: str) -> str | None:
        """Return the page that chats with a model; None if `slipway up` serves others."""
        return f"{self.serving_url}/" if self.serves(model) else None

    def serves(self, model: str) -> bool:
        """Return whether the model server of `slipway up` is to serve a model."""
        return bool({model, EVERY_CHAMPION} & {*self.serve})

    def found_at(self, part: str) -> str:
        """Return where the other parts find a part: its URL.

        Args:
            part: Its name in the settings, such as ``mlflow`` of ``mlflow_url``.
        """
        return str(getattr(self, f"{part}_url"))

    def listens_at(self, part: str) -> str:
        """Return where a part of this machine listens, as a URL."""
        listen = getattr(self, f"{part}_listen")
        return f"http://{listen}" if listen else self.found_at(part)

    def more_names(self, part: str) -> str:
        """Return under which names, beside that of its URL, a part is reached, with commas.

        That is where it listens, where people open it, and what a proxy in front of it is called.
        """
        addresses = (self.listens_at(part), getattr(self, f"public_{part}_url", ""))
        hosts = (urlsplit(address).hostname for address in addresses)
        return ",".join(filter(None, (self.allowed_hosts, *hosts)))

    @property
    def server_folders(self) -> Path:
        """Holds the folder of each model's server on this machine, which has the model's name."""
        return self.home.resolve() / "serving"

    @property
    def keys_file(self) -> Path:
        """File of the keys of the model servers."""
        return self.serve_keys_file or self.home.resolve() / "secrets" / "serve-keys.json"

    @property
    def own_signing_keys(self) -> tuple[Path, Path]:
        """Files of this home's private and public key, which ``slipway keys init`` makes."""
        folder = self.home.resolve() / "secrets"
        return folder / "signing-key.pem", folder / "signing-key.pub.pem"

    @property
    def signing_key_in_use(self) -> Path | None:
        """File of the private key that signs releases; None if they are not signed."""
        private, _ = self.own_signing_keys
        return self.signing_key or (private if private.is_file() else None)

    def environment_of(self, name: str) -> Environment:
        """Return the environment ``name``.

        Raises:
            SourceMissing: If the settings have none of this name.
        """
        if name not in self.environments:
            known = ", ".join(self.environments) or "none"
            remedy = f"the settings have {known}; docs/environments.md says how to add one"
            raise SourceMissing(f"environment {name!r}", remedy)
        return self.environments[name]

    @property
    def rates_folder(self) -> Path:
        """Folder in which the model servers count the requests of each key."""
        return self.home.resolve() / "locks" / "request-rates"

    @property
    def mlflow_pages(self) -> str:
        """Address at which people open MLflow's pages."""
        return self.public_mlflow_url or self.in_use.mlflow_url

    @property
    def prefect_pages(self) -> str:
        """Address at which people open Prefect's pages."""
        return self.public_prefect_url or self.in_use.prefect_url

    @property
    def mlflow(self) -> Path:
        """Folder of MLflow's database and artifacts, if no server keeps them."""
        return self.home.resolve() / "mlflow"

    @property
    def artifacts_folder(self) -> Path:
        """Folder of artifacts, if no server keeps them."""
        is_folder = self.artifacts and "://" not in self.artifacts
        return Path(self.artifacts).resolve() if is_folder else self.mlflow / "artifacts"

    @property
    def registry(self) -> str:
        """Address of the tracking store and the model registry."""
        return self.tracking_uri or self.database

    @property
    def database(self) -> str:
        """Address of the database of our own MLflow server."""
        if self.tracking_uri and not self.tracking_uri.startswith("http"):
            return self.tracking_uri
        return f"sqlite:///{self.mlflow / 'mlflow.db'}"

    @property
    def has_registry(self) -> bool:
        """Whether there may be a registry; connecting to a missing database would create it."""
        kind, _, path = self.registry.partition(":///")
        return not kind.startswith("sqlite") or Path(path.partition("?")[0]).is_file()

    @property
    def in_use(self) -> "Settings":
        """These settings with the addresses of the servers that this process uses.

        ``PREFECT_API_URL`` and ``MLFLOW_TRACKING_URI`` may name servers that run elsewhere. A
        password that was generated for this home's servers is left out then.
        """
        changes: dict[str, Any] = {}
        if self.prefect_api_url:
            changes["prefect_url"] = self.prefect_api_url.rstrip("/").removesuffix("/api")
        if self.tracking_uri.startswith("http"):
            changes["mlflow_url"] = self.tracking_uri.rstrip("/")
        if not all(_is_sent_to(url, getattr(self, name), self) for name, url in changes.items()):
            changes["auth"] = None
        return self.model_copy(update=changes)


def _require_url(address: str) -> None:
    try:
        _URL.validate_python(address)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Input should be ")
        raise ValueError(
            f"got {address!r} (expected an address such as http://127.0.0.1:4200; {reason})"
        ) from error


def auth_file(home: Path) -> Path:
    """Return the file of the ``user:password`` that ``slipway up`` generates."""
    return home.resolve() / "secrets" / "auth"


def _generated(home: Path) -> str | None:
    try:
        return auth_file(home).read_text(encoding="utf-8")
    except OSError:
        return None


def _place(location: tuple[int | str, ...]) -> str:
    """Return the variable of a fault, and where in its document it is."""
    return ".".join((_variable(location[0]), *map(str, location[1:])))


def _variable(field: int | str) -> str:
    """Return the environment variable that sets ``field``."""
    name = str(field)
    return name if name.isupper() else f"SLIPWAY_{name.upper()}"


def public_variables() -> tuple[str, ...]:
    """Return the names of the variables that hold settings but no secret, in order."""
    fields = Settings.model_fields.items()
    return tuple(
        sorted(
            _variable(name)
            for name, field in fields
            if field.validation_alias is None and SecretStr not in get_args(field.annotation)
        )
    )


def absolute(name: str, text: str) -> str:
    """Return the value of a variable; if it is a path, as every folder understands it."""
    if name in _PATHS and text:
        return str(Path(text).expanduser().absolute())
    return _absolute_store(text) if name in {"MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"} else text


def _absolute_store(address: str) -> str:
    """Return the address of a store; a SQLite file or a folder may be named relatively."""
    if address.startswith("sqlite:///"):
        return f"sqlite:///{Path(address.removeprefix('sqlite:///')).absolute()}"
    return str(Path(address).absolute()) if "/" in address and ":" not in address else address


def environment(settings: Settings) -> dict[str, str]:
    """Return what the libraries read from the environment, however a process is started.

    Prefect keeps its state below our home, both servers' clients sign in, and nothing is reported.
    A variable that a flow run needs belongs here: ``flows`` sets all of them when it is imported.
    """
    prefect = settings.home.resolve() / "prefect"
    return (
        _signed_in(settings)
        | TELEMETRY_OFF
        | {
            "PREFECT_HOME": str(prefect),
            "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(prefect / "results"),
            "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
            "PREFECT_LOGGING_EXTRA_LOGGERS": "",
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
            # A server answers so while its database restarts, or a proxy while the server does.
            "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500,504",
            "PYTHONSAFEPATH": "1",  # Prefect's temporary server imports nothing from this folder
        }
    )


def apply_environment(settings: Settings) -> None:
    """Set ``environment`` in this process; what is set already, stays."""
    (settings.home / "prefect").mkdir(parents=True, exist_ok=True)  # Prefect makes no parents
    for name, text in environment(settings).items():
        os.environ.setdefault(name, text)
    reach_loopback_directly()


def reach_loopback_directly() -> None:
    """Keep requests to this machine away from a proxy, in this process and its children.

    No proxy reaches another machine's loopback, so a client without this waits for its time limit.
    """
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = [name.strip() for name in listed.split(",") if name.strip()]
    if names == ["*"]:  # understood by itself alone
        return
    every = ",".join([*names, *(name for name in _LOOPBACK if name not in names)])
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = every


def _signed_in(settings: Settings) -> dict[str, str]:
    """Return what signs clients in; a generated password is sent to this home's servers alone."""
    if settings.auth is None or settings.credentials is None:
        return {}
    variables = {}
    if _is_sent_to(settings.prefect_api_url, settings.prefect_url, settings):
        variables["PREFECT_API_AUTH_STRING"] = settings.auth.get_secret_value()
    if _is_sent_to(settings.tracking_uri, settings.mlflow_url, settings):
        user, password = settings.credentials
        variables |= {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}
    return variables


#: What tells MLflow's client where to go, and as whom.
MLFLOW_CLIENT = (
    *("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME"),
    *("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"),
)


def _listed(names: Any, expected: str) -> Any:
    """Return names that are separated by commas, each once; what is no text is returned as it is.

    Raises:
        ValueError: With ``expected``, if one is empty.
    """
    if not isinstance(names, str):
        return names
    found = tuple(dict.fromkeys(name.strip() for name in names.split(",")))
    if "" in found:
        raise ValueError(expected)
    return found


def password_file(settings: Settings, name: str) -> Path:
    """Return the file with ``user:password`` for the server of an environment."""
    return settings.home.resolve() / "secrets" / f"{name}.auth"


def environment_client(settings: Settings, name: str) -> dict[str, str]:
    """Return those variables of ``MLFLOW_CLIENT`` that reach an environment and sign in to it.

    Raises:
        SourceMissing: If the settings have none of this name.
        CatalogueInvalid: If the file of its password holds something else.
    """
    reached = {"MLFLOW_TRACKING_URI": settings.environment_of(name).tracking_uri}
    file = password_file(settings, name)
    if not file.is_file():
        return reached
    user, _, password = file.read_text(encoding="utf-8").strip().partition(":")
    if not user or not password:
        raise CatalogueInvalid(str(file), ("sign-in: got something else (expected user:password)",))
    return reached | {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}


_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _is_sent_to(address: str, own: str, settings: Settings) -> bool:
    one, other = urlsplit(address if address.startswith("http") else own), urlsplit(own)
    return not settings.auth_is_generated or (
        {one.hostname, other.hostname} <= {*_LOOPBACK} and one.port == other.port
    )


def disable_telemetry() -> None:
    """Switch the libraries' telemetry off in this process; call it before they are imported."""
    for name, value in TELEMETRY_OFF.items():
        os.environ.setdefault(name, value)


def sign_in(settings: Settings) -> None:
    """Let the servers' clients in this process sign in, unless the environment says how already."""
    for name, text in _signed_in(settings).items():
        os.environ.setdefault(name, text)


def toolchain() -> dict[str, str]:
    """Return the installed version of every tool in ``TOOLS``, without a build's label."""
    return {tool: version(tool).split("+")[0] for tool in TOOLS}


_PASSWORD_IN_ADDRESS = re.compile(r"://[^/?#\s]*:[^/?#\s]+@")


def has_password(address: str) -> bool:
    """Return whether an address has a user and a password in it."""
    return bool(_PASSWORD_IN_ADDRESS.search(address))
