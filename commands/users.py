"""``slipway users``: who may sign in to MLflow, and what each may do there."""

import secrets
from collections.abc import Iterable

from commands import console
from slipway import catalogue
from slipway.settings import Settings
from slipway.tracking.accounts import Accounts, Person, Role

_PASSWORD_BYTES = 24


def add(name: str, *, role: Role, json: bool = False) -> int:
    """Make a user of MLflow with a role, and print the password, once.

    Args:
        name: Of the user, as the history of a model shows it.
        role: `reader` sees everything; `releaser` also releases, up to the alias `candidate`;
            `promoter` also approves, promotes and rolls back; `admin` also changes users.
        json: Print the result as JSON.
    """
    settings, password = Settings(), secrets.token_urlsafe(_PASSWORD_BYTES)
    accounts = _accounts(settings)
    accounts.add(name, password)
    try:
        accounts.give(name, role)
        _apply_roles(settings)
    except BaseException:
        accounts.remove(name)  # nobody has seen the password
        raise
    if json:
        console.show({"name": name, "role": role, "password": password})
        return 0
    console.facts(
        f"{name} is a {role}; the password is printed only now",
        {
            "MLFLOW_TRACKING_URI": settings.registry,
            "MLFLOW_TRACKING_USERNAME": name,
            "MLFLOW_TRACKING_PASSWORD": password,
        },
    )
    return 0


def role(name: str, role: Role, *, json: bool = False) -> int:
    """Give a user of MLflow another role.

    Args:
        name: Of the user.
        role: `reader`, `releaser`, `promoter` or `admin`.
        json: Print the result as JSON.
    """
    settings = Settings()
    _accounts(settings).give(name, role)
    _apply_roles(settings)
    _show([Person(name=name, role=role)], json=json)
    return 0


def list_users(*, json: bool = False) -> int:
    """List the users of MLflow and their roles.

    Args:
        json: Print the result as JSON.
    """
    _show(_accounts(Settings()).people(), json=json)
    return 0


def remove(name: str, *, json: bool = False) -> int:
    """Remove a user of MLflow: its password is refused from now on.

    Args:
        name: Of the user.
        json: Print the result as JSON.
    """
    _accounts(Settings()).remove(name)
    if json:
        console.show({"removed": name})
    else:
        console.say(f"{name} is removed")
    return 0


def _accounts(settings: Settings) -> Accounts:
    """Return the users of the server, if an administrator asks."""
    accounts = Accounts(settings.registry)
    accounts.require_admin()
    return accounts


def _apply_roles(settings: Settings) -> None:
    """Give the roles their permissions on every model of the catalogue; reconcile repeats it."""
    from slipway.registry import open_registry

    registry = open_registry(settings)
    for model in catalogue.load(settings.catalogue):
        for taken in registry.apply_roles(model):
            console.say(taken, error=True)


def _show(people: Iterable[Person], *, json: bool) -> None:
    if json:
        console.show([person.model_dump() for person in people])
        return
    rows = [(person.name, person.role or "none") for person in people]
    console.table("Users of MLflow", ("name", "role"), rows)
