"""Allow-list of the variables that each process receives: the base row, and the row of its name.

No name is guessed to be a secret: a variable that no row names stays with the process that has it.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from slipway.libraries import TELEMETRY_OFF
from slipway.settings import PROJECT, absolute, has_password, public_variables

_HUB = ("HF_*", "HUGGING_FACE_HUB_TOKEN")
_MLFLOW = ("MLFLOW_TRACKING_*", "MLFLOW_REGISTRY_URI", "MLFLOW_HTTP_*")
_REGISTRY = (*_MLFLOW, "DATABRICKS_*")
_MLFLOW_SERVER = tuple(
    f"MLFLOW_{each}_*"
    for each in ("ARTIFACTS", "ENABLE", "HTTP", "LOGGING", "S3", "SERVER", "SQLALCHEMYSTORE")
)
_STORES = ("AWS_*", "AZURE_*", "GOOGLE_*")
_PROXIES = ("*_PROXY",)
_DATABASES = ("PG*",)
_PREFECT = (
    *("PREFECT_API_AUTH_STRING", "PREFECT_API_ENABLE_HTTP2", "PREFECT_API_KEY"),
    *("PREFECT_API_REQUEST_TIMEOUT", "PREFECT_API_SSL_CERT_FILE", "PREFECT_API_TLS_*"),
    *("PREFECT_API_URL", "PREFECT_CLIENT_*", "PREFECT_HOME", "PREFECT_LOGGING_*"),
)
_FLOW_RUNS = tuple(
    f"PREFECT_{each}_*"
    for each in ("DEPLOYMENTS", "FLOWS", "INTERNAL", "RESULTS", "RUNNER", "TASKS", "WORKER")
)
_WORKER = (*_PREFECT, *_FLOW_RUNS, *_REGISTRY, *_HUB, *_PROXIES)

#: Names of variables that every process receives: they tell where things are and how many threads
#: to use. Not passed on if the value is an address with a password.
BASE: tuple[str, ...] = (
    *("HOME", "LOGNAME", "PATH", "TERM", "TMPDIR", "USER", "VIRTUAL_ENV", "XDG_*"),
    *("LANG", "LANGUAGE", "LC_*", "LD_LIBRARY_PATH", "NO_COLOR", "TZ"),
    *("ARROW_*", "CUDA_*", "KMP_*", "MKL_*", "NUMEXPR_*", "OMP_*", "OPENBLAS_*", "ORT_*"),
    *("TOKENIZERS_PARALLELISM", "TORCH_*", "TRANSFORMERS_VERBOSITY", *TELEMETRY_OFF),
    *("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE", *_PROXIES),
    *("COVERAGE_*", "HF_ENDPOINT", "HF_HOME", "MPLCONFIGDIR"),
    *("PYTHONDONTWRITEBYTECODE", "PYTHONFAULTHANDLER", "PYTHONHASHSEED", "PYTHONUNBUFFERED"),
    *("PYTHONUTF8", "PYTHONWARNINGS", *public_variables()),
)

#: Patterns of the names of more variables, secrets among them, by the process that receives them.
ALLOWED: Mapping[str, tuple[str, ...]] = {
    # Services and what is applied to them. Secrets that a service generates are added to these.
    "prefect": ("PREFECT_*", *_DATABASES, *_PROXIES),
    "mlflow": (*_MLFLOW_SERVER, *_STORES, *_DATABASES, *_PROXIES),
    "apply": ("SLIPWAY_AUTH", "SLIPWAY_MLFLOW_WEBHOOK_SECRET", *_PREFECT, *_MLFLOW),
    "deploy": _PREFECT,
    "worker": _WORKER,
    "release-worker": _WORKER,
    "receiver": ("SLIPWAY_HUB_WEBHOOK_SECRET", "SLIPWAY_MLFLOW_WEBHOOK_SECRET", *_PREFECT),
    "model-server": (*_REGISTRY, "OTEL_*"),
    # Child processes that copy a version's files, and that log models. Those that work on files of
    # this machine (download, render, prepare, read, compare, time) have no row, and neither have
    # those that run a wrapper (smoke-test, preflight, engine, predict) or a judge (grade).
    "fetch": _REGISTRY,
    "log": _MLFLOW,
}

#: Names the variables, separated by commas, that every process receives beside the base row.
MORE = "SLIPWAY_PASS_VARIABLES"

#: Where a process looks for modules: in this checkout, never in the current folder.
_MODULES = {"PYTHONPATH": str(PROJECT), "PYTHONSAFEPATH": "1"}


def visible(who: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment that a process receives.

    Paths are absolute in it, since a process does not work in the folder of its parent.

    Args:
        who: Its row: the name of a service, or of a step, whose first word counts.
        variables: The environment of the process that starts it.
    """
    own = ALLOWED.get(who.partition(" ")[0], ())
    more = [each.strip() for each in variables.get(MORE, "").split(",")]
    chosen = {
        name: absolute(name, text)
        for name, text in variables.items()
        if _is_one_of(name, (*own, *more))
        or (_is_one_of(name, (*BASE, MORE)) and not has_password(text))
    }
    return chosen | _MODULES


def _is_one_of(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name.upper(), each) for each in patterns)
