"""A stub of Databricks: what MLflow's client asks of Unity Catalog, answered from memory.

Made after MLflow's client (``databricks-uc``) and the limits that Databricks documents. It is none
of theirs: what it allows, a real catalog may still refuse.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.support.network import http_server

TOKEN = "a-token-of-a-test"  # noqa: S105 - of a test
SCHEMA = "main.models"
_API = "/api/2.0/mlflow/unity-catalog/"
_SDK = "registered-models:is-databricks-sdk-models-artifact-repository-enabled"
_STATUSES = {"RESOURCE_DOES_NOT_EXIST": 404, "ALREADY_EXISTS": 409}
_NAME = re.compile(r"[^.\s/A-Z]+(\.[^.\s/A-Z]+){2}")
_TAG = re.compile(r"[^.,\-=/:]{1,255}")
_FILTER = re.compile(r"(name|run_id) = '([^']+)'")
_LONGEST_VALUE, _MOST_TAGS = 1000, 50

Body = dict[str, Any]


class CatalogRefusal(Exception):
    """Its arguments are the code of an error, and what is wrong."""


class UnityCatalog:
    """Models, versions and files of one catalog.

    Attributes:
        models: Aliases, by the full name of the model.
        versions: By full name and number.
        files: By the address that was asked for.
    """

    def __init__(self) -> None:
        self.models: dict[str, dict[str, str]] = {}
        self.versions: dict[tuple[str, str], Body] = {}
        self.files: dict[str, bytes] = {}
        self._answers: dict[tuple[str, str], Callable[[Body], Body]] = {
            ("POST", "registered-models/create"): self._create_model,
            ("GET", "registered-models/get"): self._model,
            ("GET", "registered-models/search"): self._search_models,
            ("GET", "registered-models/alias"): self._aliased_version,
            ("POST", "registered-models/alias"): self._set_alias,
            ("DELETE", "registered-models/alias"): self._delete_alias,
            ("GET", _SDK): lambda _: {},
            ("POST", "model-versions/create"): self._create_version,
            ("POST", "model-versions/generate-temporary-credentials"): lambda _: {
                "credentials": {"storage_mode": "DEFAULT_STORAGE"}
            },
            ("POST", "model-versions/finalize"): self._finalize,
            ("GET", "model-versions/get"): self._version_answer,
            ("GET", "model-versions/search"): self._search_versions,
            ("PATCH", "model-versions/update"): self._update_version,
            ("DELETE", "model-versions/delete"): self._delete_version,
            ("POST", "model-versions/set-tag"): self._set_tag,
            ("DELETE", "model-versions/delete-tag"): self._delete_tag,
        }

    def answer(self, method: str, path: str, body: Body) -> Body:
        """Return what the catalog answers.

        Raises:
            CatalogRefusal: If it refuses.
        """
        if (method, path) not in self._answers:
            raise CatalogRefusal("ENDPOINT_NOT_FOUND", f"no {method} {path}")
        return self._answers[method, path](body)

    def tags(self, name: str, version: int) -> dict[str, str]:
        """Return the tags of a version as they are kept."""
        return dict(self.versions[name, str(version)]["tags"])

    def _create_model(self, body: Body) -> Body:
        name = body["name"]
        if not _NAME.fullmatch(name):
            raise CatalogRefusal("INVALID_PARAMETER_VALUE", f"{name}: specify all three levels")
        if name in self.models:
            raise CatalogRefusal("ALREADY_EXISTS", f"{name} already exists")
        self.models[name] = {}
        return self._model(body)

    def _model(self, body: Body) -> Body:
        name = body["name"]
        aliases = self._aliases(name).items()
        listed = [{"alias": alias, "version": version} for alias, version in aliases]
        return {"registered_model": {"name": name, "aliases": listed}}

    def _aliases(self, name: str) -> dict[str, str]:
        if name not in self.models:
            raise CatalogRefusal("RESOURCE_DOES_NOT_EXIST", f"no model {name}")
        return self.models[name]

    def _search_models(self, _body: Body) -> Body:
        return {"registered_models": [{"name": name} for name in self.models]}

    def _set_alias(self, body: Body) -> Body:
        self._version(body)
        self._aliases(body["name"])[body["alias"]] = body["version"]
        return {}

    def _delete_alias(self, body: Body) -> Body:
        self._aliases(body["name"]).pop(body["alias"], None)
        return {}

    def _create_version(self, body: Body) -> Body:
        name = body["name"]
        self._aliases(name)
        number = str(1 + max((int(each) for of, each in self.versions if of == name), default=0))
        kept = {key: body.get(key, "") for key in ("source", "run_id", "description")}
        found = {"name": name, "version": number, "status": "PENDING_REGISTRATION", **kept}
        self.versions[name, number] = found | {"tags": {}, "creation_timestamp": 1}
        for tag in body.get("tags", ()):
            self._set_tag({"name": name, "version": number, **tag})
        return self._version_answer({"name": name, "version": number})

    def _finalize(self, body: Body) -> Body:
        self._version(body)["status"] = "READY"
        return self._version_answer(body)

    def _version(self, body: Body) -> Body:
        found = self.versions.get((body["name"], str(body["version"])))
        if found is None:
            raise CatalogRefusal("RESOURCE_DOES_NOT_EXIST", f"no version {body['version']}")
        return found

    def _version_answer(self, body: Body) -> Body:
        found = self._version(body)
        tags = [{"key": key, "value": value} for key, value in found["tags"].items()]
        aliases = [
            {"alias": alias, "version": version}
            for alias, version in self.models[found["name"]].items()
            if version == found["version"]
        ]
        return {"model_version": found | {"tags": tags, "aliases": aliases}}

    def _aliased_version(self, body: Body) -> Body:
        version = self._aliases(body["name"]).get(body["alias"])
        if version is None:
            raise CatalogRefusal("RESOURCE_DOES_NOT_EXIST", f"no alias {body['alias']}")
        return self._version_answer({"name": body["name"], "version": version})

    def _search_versions(self, body: Body) -> Body:
        asked = _FILTER.fullmatch(body.get("filter", ""))
        if asked is None:
            raise CatalogRefusal(
                "INVALID_PARAMETER_VALUE", "expected a filter by name or run_id alone"
            )
        if asked[1] == "name":
            self._aliases(asked[2])
        met = (each for each in self.versions.values() if each[asked[1]] == asked[2])
        return {"model_versions": [{**each, "tags": []} for each in met]}

    def _update_version(self, body: Body) -> Body:
        self._version(body)["description"] = body["description"]
        return self._version_answer(body)

    def _delete_version(self, body: Body) -> Body:
        self._version(body)
        del self.versions[body["name"], body["version"]]
        aliases = self._aliases(body["name"])
        for alias in [each for each, number in aliases.items() if number == body["version"]]:
            del aliases[alias]
        return {}

    def _set_tag(self, body: Body) -> Body:
        tags, value = self._version(body)["tags"], body.get("value", "")
        if not _TAG.fullmatch(body["key"]):
            raise CatalogRefusal(
                "INVALID_PARAMETER_VALUE", f"{body['key']!r} has a forbidden character"
            )
        tags[body["key"]] = value
        if len(value) > _LONGEST_VALUE or len(tags) > _MOST_TAGS:
            raise CatalogRefusal("INVALID_PARAMETER_VALUE", "too long, or too many tags")
        return {}

    def _delete_tag(self, body: Body) -> Body:
        del self._version(body)["tags"][body["key"]]
        return {}


class _Handler(BaseHTTPRequestHandler):
    """Reads requests for a catalog; files are uploaded to addresses that it gives out."""

    catalog: ClassVar[UnityCatalog]

    def do_GET(self) -> None:
        """Answer a question."""
        path, _, query = self.path.partition("?")
        self._answer(path, dict(parse_qsl(query)))

    def do_PUT(self) -> None:
        """Keep a file."""
        self.catalog.files[urlsplit(self.path).path] = self._read()
        self._send(200, {})

    def do_POST(self) -> None:
        """Carry out a command."""
        self._answer(self.path, json.loads(self._read() or b"{}"))

    do_PATCH = do_DELETE = do_POST  # noqa: N815 - http.server's names

    def _answer(self, path: str, body: Body) -> None:
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._send(401, {"error_code": "UNAUTHENTICATED", "message": "no token"})
            return
        if path == "/api/2.0/fs/create-upload-url":
            url = f"http://{self.headers['Host']}{body['path']}"
            self._send(200, {"url": url, "headers": []})
            return
        try:
            found = self.catalog.answer(self.command, path.removeprefix(_API), body)
        except CatalogRefusal as error:
            code, message = error.args
            self._send(_STATUSES.get(code, 400), {"error_code": code, "message": message})
        else:
            self._send(200, found)

    def _read(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _send(self, status: int, body: Body) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextmanager
def unity_catalog(patch: pytest.MonkeyPatch) -> Iterator[UnityCatalog]:
    """Run a catalog on loopback, to which MLflow's client and Slipway's settings point."""
    import mlflow

    catalog = UnityCatalog()
    with http_server(type("Handler", (_Handler,), {"catalog": catalog})) as server:
        patch.setenv("DATABRICKS_HOST", f"http://127.0.0.1:{server.server_port}")
        patch.setenv("DATABRICKS_TOKEN", TOKEN)
        patch.setenv("MLFLOW_REGISTRY_URI", "databricks-uc")
        patch.setenv("SLIPWAY_REGISTRY_SCHEMA", SCHEMA)
        try:
            yield catalog
        finally:
            mlflow.set_registry_uri("")
