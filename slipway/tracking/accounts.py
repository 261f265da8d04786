"""The users of an MLflow server that asks for a name and a password, and their roles.

A role of ours is a role of MLflow's with a prefix; an administrator is one of MLflow's own:
https://mlflow.org/docs/latest/auth
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Literal, get_args

from slipway.errors import NoAccounts, RoleMissing, UserRefused
from slipway.values import Value

Role = Literal["reader", "releaser", "promoter", "admin"]

#: What a permission is about: ``experiment`` and its id, or ``registered_model`` and its name.
Resource = tuple[str, str]

_PREFIX = "slipway-"
_WORKSPACE = "default"  # MLflow's name for the only one, where workspaces are off
_HELD = "3.0/mlflow/users/roles/list"
_OWN = "__user_"  # begins the name of MLflow's role for what a single user was given


class Person(Value):
    """A user of the server; the role is None if it is not one of ours."""

    name: str
    role: Role | None


class Accounts:
    """Reads and changes the users of one server; changes need an administrator.

    Args:
        uri: Address of the tracking store; one that is no server has no users.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def signed_in(self) -> Person | None:
        """Return who this process is signed in as; None where the server asks for no name."""
        if not self.uri.startswith("http"):
            return None
        found = self._found("2.0/mlflow/users/current")
        if found is None:
            return None
        name = found["user"]["username"]
        return _person(found["user"] | (self._found(_HELD, username=name) or {}))

    def require_admin(self) -> Person:
        """Return who this process is signed in as.

        Raises:
            NoAccounts: If the server asks for no name.
            RoleMissing: If that is no administrator.
        """
        person = self.signed_in()
        if person is None:
            raise NoAccounts(self.uri)
        if person.role != "admin":
            raise RoleMissing(person.name, person.role or "none", "see or change users", "admin")
        return person

    def people(self) -> tuple[Person, ...]:
        """Return every user, as an administrator sees them."""
        found = self._found("2.0/mlflow/users/list") or {"users": []}
        return tuple(map(_person, found["users"]))

    def add(self, name: str, password: str) -> None:
        """Make a user, who has no role yet.

        Raises:
            UserRefused: If there is one of this name.
        """
        if any(each.name == name for each in self.people()):
            advice = f"change the role with `slipway users role {name} ROLE`"
            raise UserRefused(name, "there is such a user already", advice)
        self._call("POST", "2.0/mlflow/users/create", username=name, password=password)

    def give(self, name: str, role: Role) -> None:
        """Give a user this role in place of any other one.

        Raises:
            UserRefused: If there is no such user, or if it is the one who asks.
        """
        self._require_other(name)
        wanted = () if role == "admin" else (self._role(role)["id"],)
        for other in self._call("GET", _HELD, username=name)["roles"]:
            if other["name"].startswith(_PREFIX):
                held = {"username": name, "role_id": other["id"]}
                self._call("DELETE", "3.0/mlflow/roles/unassign", **held)
        for number in wanted:
            self._call("POST", "3.0/mlflow/roles/assign", username=name, role_id=number)
        self._call("PATCH", "2.0/mlflow/users/update-admin", username=name, is_admin=not wanted)

    def remove(self, name: str) -> None:
        """Remove a user.

        Raises:
            UserRefused: If there is no such user, or if it is the one who asks.
        """
        self._require_other(name)
        self._call("DELETE", "2.0/mlflow/users/delete", username=name)

    def permit(self, role: Role, wanted: Mapping[Resource, str]) -> None:
        """Let a role have these permissions; others that it has stay."""
        found = self._role(role)
        rows = {
            (row["resource_type"], row["resource_pattern"]): row for row in found["permissions"]
        }
        for (kind, pattern), permission in wanted.items():
            row = rows.get((kind, pattern))
            if row is None:
                place = {"resource_type": kind, "resource_pattern": pattern}
                path, fields = "add", {"role_id": found["id"], **place}
            else:
                path, fields = "update", {"role_permission_id": row["id"]}
            if row is None or row["permission"] != permission:
                method = "POST" if row is None else "PATCH"
                path = f"3.0/mlflow/roles/permissions/{path}"
                self._call(method, path, permission=permission, **fields)

    def take_back(self, resources: Mapping[Resource, str]) -> Iterator[str]:
        """Take back what single users were given on resources, so that roles alone decide.

        MLflow gives it to whoever makes something, and whoever has it may give it to others.

        Args:
            resources: With the name that people know.

        Yields:
            A sentence for each.
        """
        for person in self.people():
            if person.role == "admin":
                continue
            path = "3.0/mlflow/users/permissions"
            for row in self._call("GET", f"{path}/list", username=person.name)["permissions"]:
                kind, pattern = row["resource_type"], row["resource_pattern"]
                if row["role_name"].startswith(_OWN) and (kind, pattern) in resources:
                    place = {"resource_type": kind, "resource_id": pattern}
                    self._call("POST", f"{path}/revoke", username=person.name, **place)
                    what = f"{row['permission']} on the {kind} {resources[kind, pattern]}"
                    yield f"{person.name} had {what} without a role, which was taken back"

    def _role(self, role: Role) -> Any:
        """Return MLflow's role, made on first use."""
        name = f"{_PREFIX}{role}"
        roles = self._call("GET", "3.0/mlflow/roles/list", workspace=_WORKSPACE)["roles"]
        found = next((each for each in roles if each["name"] == name), None)
        fields = {"name": name, "workspace": _WORKSPACE}
        return found or self._call("POST", "3.0/mlflow/roles/create", **fields)["role"]

    def _require_other(self, name: str) -> None:
        if name not in {each.name for each in self.people()}:
            raise UserRefused(name, "there is no such user", "`slipway users list` lists them")
        if name == self.require_admin().name:
            reason = "you are signed in as this user"
            raise UserRefused(name, reason, "ask another administrator")

    def _found(self, path: str, **fields: Any) -> Any:
        """Return what the server has there; None from one without users, or of an older MLflow."""
        response = self._send("GET", path, **fields)
        return None if response.status_code == HTTPStatus.NOT_FOUND else _content(response)

    def _call(self, method: str, path: str, **fields: Any) -> Any:
        return _content(self._send(method, path, **fields))

    def _send(self, method: str, path: str, **fields: Any) -> Any:
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        place = {"params" if method == "GET" else "json": fields}
        return http_request(get_default_host_creds(self.uri), f"/api/{path}", method, **place)


def _content(response: Any) -> Any:
    """Return what an answer holds.

    Raises:
        MlflowException: If the server refuses.
    """
    from mlflow.utils.rest_utils import verify_rest_response

    return verify_rest_response(response, response.url).json()


def _person(user: Mapping[str, Any]) -> Person:
    if user["is_admin"]:
        return Person(name=user["username"], role="admin")
    held = {role["name"] for role in user.get("roles", ())}
    ours = [role for role in get_args(Role) if f"{_PREFIX}{role}" in held]
    return Person(name=user["username"], role=ours[-1] if ours else None)
