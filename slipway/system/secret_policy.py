"""Allow-list of the secret variables that each process receives; without a row it receives none."""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

from slipway.settings import has_password

_HUB = ("HF_*", "HUGGING_FACE_HUB_TOKEN")
_MLFLOW = ("MLFLOW_TRACKING_*",)
_PREFECT = ("PREFECT_API_*",)
_PROXIES = ("*_PROXY",)

#: Patterns of the names of secret variables, by the process that receives them.
ALLOWED: Mapping[str, tuple[str, ...]] = {
    # Services and what is applied to them. Secrets that a service generates are added to these.
    "prefect": ("PREFECT_*", *_PROXIES),
    "mlflow": ("AWS_*", "AZURE_*", "GOOGLE_*", *_PROXIES),
    "apply": ("SLIPWAY_AUTH", "SLIPWAY_MLFLOW_WEBHOOK_SECRET", *_PREFECT, *_MLFLOW),
    "deploy": _PREFECT,
    "worker": (*_PREFECT, *_MLFLOW, *_HUB, *_PROXIES),
    "receiver": ("SLIPWAY_HUB_WEBHOOK_SECRET", "SLIPWAY_MLFLOW_WEBHOOK_SECRET", *_PREFECT),
    "model-server": _MLFLOW,
    # Child processes that load from the registry or write to it. Those that read, build and measure
    # files of this machine (download, render, prepare, read, compare, time) have no row.
    "log": _MLFLOW,
    "smoke-test": _MLFLOW,
    "preflight": _MLFLOW,
    "engine": _MLFLOW,
}

_NAME = re.compile(r"PASSW(OR)?D|SECRET|APIKEY|(^|_)(TOKEN|AUTH|KEY|CREDENTIALS?|PASSPHRASE)(_|$)")


def is_secret(name: str, text: str = "") -> bool:
    """Tell whether a variable is a secret: by its name, or as an address with a password."""
    return bool(_NAME.search(name.upper())) or has_password(text)


def visible(who: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a process receives.

    Args:
        who: Its row: the name of a service, or of a step, whose first word counts.
        variables: The environment of the process that starts it.
    """
    allowed = ALLOWED.get(who.partition(" ")[0], ())
    return {
        name: text
        for name, text in variables.items()
        if not is_secret(name, text) or any(fnmatchcase(name.upper(), each) for each in allowed)
    }
