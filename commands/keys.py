"""``slipway keys``: the keys of the model servers, and the pair of keys that signs releases."""

from typing import Annotated, Any

from cyclopts import Parameter

from commands import console
from commands.options import Count
from slipway.serving import api_keys
from slipway.serving.api_keys import ApiKey
from slipway.settings import Settings
from slipway.system import signing_keys

_EXAMPLE = "curl -H 'Authorization: Bearer {key}' {url}/v1/models"


def init(*, json: bool = False) -> int:
    """Make the pair of keys that signs the releases of this home from now on.

    Args:
        json: Print the result as JSON.
    """
    private, public = Settings().own_signing_keys
    signing_keys.make_pair(private, public)
    key = signing_keys.fingerprint(public)
    if json:
        console.show({"private": str(private), "public": str(public), "fingerprint": key})
        return 0
    console.facts(
        "Releases of this home are signed from now on",
        {
            "public key": str(public),
            "fingerprint": key,
            "private key": f"{private}; keep a copy of it in another place",
            "next": f"set SLIPWAY_VERIFY_KEY={public} wherever a signature is required",
        },
    )
    return 0


def new(
    name: str,
    *,
    model: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    rate: Count | None = None,
    json: bool = False,
) -> int:
    """Make a key and print it, once.

    Args:
        name: Its owner, as metrics show: letters, digits, `.`, `_` and `-`.
        model: A model that it may use; may be given several times. Default: all.
        rate: Most requests a minute. Default: no limit.
        json: Print the result as JSON.
    """
    settings = Settings()
    key, made = api_keys.new(settings.keys_file, name, model or None, rate)
    if json:
        console.show({"key": key} | _document(made))
        return 0
    console.say(f"{key}\n")
    console.facts(
        f"This key of {name} is printed only now",
        {
            "models": _models(made),
            "rate": _rate(made),
            "try it": _EXAMPLE.format(key=key, url=settings.serving_url),
            "file": f"{settings.keys_file}; running model servers read it now",
        },
    )
    return 0


def list_keys(*, json: bool = False) -> int:
    """List the keys: their owners, what they may use, and their last characters.

    Args:
        json: Print the result as JSON.
    """
    file = Settings().keys_file
    keys = api_keys.read(file).keys
    if json:
        console.show({"file": str(file), "keys": [_document(key) for key in keys]})
        return 0
    rows = [
        (key.name, f"…{key.hint}", _models(key), _rate(key), f"{key.created:%Y-%m-%d %H:%M} UTC")
        for key in keys
    ]
    title = f"Keys of {file}" if keys else f"{file} has no keys; `slipway keys new NAME` makes one"
    console.table(title, ("name", "key", "models", "rate", "made") if rows else (), rows)
    return 0


def revoke(name: str, *, json: bool = False) -> int:
    """Revoke a key: running model servers refuse it from now on.

    Args:
        name: Its owner.
        json: Print the result as JSON.
    """
    revoked = api_keys.revoke(Settings().keys_file, name)
    if json:
        console.show(_document(revoked))
    else:
        console.say(f"the key of {name} (…{revoked.hint}) is revoked")
    return 0


def _document(key: ApiKey) -> dict[str, Any]:
    return key.model_dump(mode="json", exclude={"sha256"})


def _models(key: ApiKey) -> str:
    return "all" if key.models is None else ", ".join(key.models)


def _rate(key: ApiKey) -> str:
    rate = key.requests_per_minute
    return "no limit" if rate is None else f"{rate} requests a minute"
