"""Settings: what differs between machines. Read in tasks, commands and deployments, passed down."""

import json
import re
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
from slipway.values.signers import SigningKey, SigstoreIdentity, Verifier, names_a_file

PROJECT = Path(__file__).resolve().parent.parent

#: Names of this machine that no other machine reaches.
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")

#: As the only name in SLIPWAY_SERVE: every model of the catalogue that has a champion.
EVERY_CHAMPION = "all"

#: In SLIPWAY_WORKER_QUEUES: the queue of redeploys of the worker's own host.
SERVE_QUEUE = "serve"

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
_STORES = ("/", "azureml:", "databricks", "file:", "mssql", "mysql", "postgresql", "sqlite:", "uc:")
_URL = TypeAdapter(HttpUrl)
_LISTEN = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:/?#@\s]+):\d{1,5}")
_SCHEMA = re.compile(r"[^\s./]+\.[^\s./]+")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s*]+", re.IGNORECASE)

_SHORTEST_PASSWORD = 12  # characters; MLflow refuses shorter ones


#: Work pools of release workers: kinds of machines.
ReleasePool = Literal["cpu", "cuda"]

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
        registry_uri: Address of a model registry in Unity Catalog; every other one is ignored, and
            MLflow's registry is where its runs are.
        registry_schema: Schema of the models in Unity Catalog, as ``CATALOG.SCHEMA``.
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
        signing_key: Private key that signs releases, or ``sigstore``; None for that of ``home``, if
            there is one.
        verify_key: Public key of releases; with it, nothing is loaded that it does not verify.
        verify_identity: Instead of a key, who must have signed keyless.
        verify_issuer: Address of the OpenID Connect provider that vouches for that name.
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
    registry_uri: str = Field(default="", validation_alias="MLFLOW_REGISTRY_URI", repr=False)
    registry_schema: str = ""
    mlflow_url: str = "http://127.0.0.1:5000"
    prefect_url: str = "http://127.0.0.1:4200"
    public_mlflow_url: str = ""
    public_prefect_url: str = ""
    receiver_url: str = "http://127.0.0.1:8090"
    serving_url: str = "http://127.0.0.1:8080"
    worker_url: str = "http://127.0.0.1:8091"
    release_worker_url: str = "http://127.0.0.1:8092"
    pool: ReleasePool = "cpu"
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
    signing_key: SigningKey | None = None
    verify_key: Path | None = None
    verify_identity: str = ""
    verify_issuer: str = Field(default="", validate_default=True)
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

    @field_validator("signing_key", mode="before")
    @classmethod
    def _file_or_address(cls, key: Any) -> Any:
        """Tell a file from a key in a token; a PIN in the address would be shown in errors."""
        if isinstance(key, str) and "pin-value" in key:
            raise ValueError("write the PIN into a file and name that one, with pin-source")
        return Path(key) if isinstance(key, str) and names_a_file(key) else key

    @field_validator("verify_issuer")
    @classmethod
    def _of_an_identity(cls, issuer: str, info: ValidationInfo) -> str:
        if bool(issuer) != bool(info.data.get("verify_identity")):
            raise ValueError("SLIPWAY_VERIFY_IDENTITY and SLIPWAY_VERIFY_ISSUER are set together")
        if issuer and info.data.get("verify_key"):
            raise ValueError("SLIPWAY_VERIFY_KEY and SLIPWAY_VERIFY_IDENTITY exclude each other")
        return issuer

    @field_validator(
        *("home", "catalogue", "expectations", "wrappers"),
        *("serve_keys_file", "signing_key", "verify_key"),
    )
    @classmethod
    def _absolute(cls, path: Path | str | None) -> Path | str | None:
        """Return the same place for processes that work in another folder."""
        try:
            return path.expanduser().absolute() if isinstance(path, Path) else path
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

    @field_validator("registry_schema")
    @classmethod
    def _of_two_parts(cls, schema: str) -> str:
        if schema and not _SCHEMA.fullmatch(schema):
            raise ValueError(f"got {schema!r} (expected CATALOG.SCHEMA, such as main.models)")
        return schema.lower()  # as Unity Catalog stores it

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
    def signing_key_in_use(self) -> SigningKey | None:
        """The key that signs releases; None if they are not signed."""
        private, _ = self.own_signing_keys
        return self.signing_key or (private if private.is_file() else None)

    @property
    def verifier(self) -> Verifier | None:
        """Who must have signed what is loaded; None if nobody must."""
        if self.verify_identity:
            return SigstoreIdentity(identity=self.verify_identity, issuer=self.verify_issuer)
        return self.verify_key

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

    def signs_in_at(self, address: str, own: str) -> bool:
        """Return whether the password is sent to a server.

        One that was generated is for the servers of this home alone.

        Args:
            address: Of the server; one that is no URL stands for ``own``.
            own: Address of the server of this home.
        """
        one, other = urlsplit(address if address.startswith("http") else own), urlsplit(own)
        return not self.auth_is_generated or (
            {one.hostname, other.hostname} <= {*LOOPBACK_NAMES} and one.port == other.port
        )

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
        if not all(self.signs_in_at(url, getattr(self, name)) for name, url in changes.items()):
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
    if name in _PATHS and text and names_a_file(text):
        return str(Path(text).expanduser().absolute())
    return _absolute_store(text) if name in {"MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"} else text


def _absolute_store(address: str) -> str:
    """Return the address of a store; a SQLite file or a folder may be named relatively."""
    if address.startswith("sqlite:///"):
        return f"sqlite:///{Path(address.removeprefix('sqlite:///')).absolute()}"
    return str(Path(address).absolute()) if "/" in address and ":" not in address else address


_PASSWORD_IN_ADDRESS = re.compile(r"://[^/?#\s]*:[^/?#\s]+@")


def has_password(address: str) -> bool:
    """Return whether an address has a user and a password in it."""
    return bool(_PASSWORD_IN_ADDRESS.search(address))


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
