"""MLflow's client of a registry in Databricks Unity Catalog, under our names of models and tags.

MLflow's own client does the calls. It copies the files of a version into the catalog when it
registers one. Searches there know a model's or a run's name alone and return no tags, so each
version that they find is read.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from slipway.tracking.location import every, if_any
from slipway.tracking.registry_kind import (
    is_part,
    name_here,
    name_there,
    tags_here,
    tags_there,
)

#: Methods of MLflow's client whose first argument is the name of a registered model.
_NAMED = {
    *("create_registered_model", "get_registered_model"),
    *("set_registered_model_alias", "delete_registered_model_alias"),
    *("update_model_version", "delete_model_version"),
}
#: Errors that MLflow's own registry calls otherwise.
_CODES = {"ALREADY_EXISTS": "RESOURCE_ALREADY_EXISTS", "NOT_FOUND": "RESOURCE_DOES_NOT_EXIST"}
_MODEL_ID = re.compile(r"\bm-[0-9a-f]{32}\b")
_CONDITION = re.compile(r"(name|run_id|version_number|tags\.`[^`]+`) (=|>=) '?([^' ]*)'?")


class UnityCatalogClient:
    """The methods that differ; every other one is that of MLflow's client.

    Args:
        client: MLflow's, whose registry is Unity Catalog.
        schema: Of the models, as ``CATALOG.SCHEMA``.
    """

    def __init__(self, client: Any, schema: str) -> None:
        self._client = client
        self._schema = schema

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return partial(self._call, method) if name in _NAMED else method

    def create_model_version(
        self, name: str, source: str, *, run_id: str, tags: Mapping[str, str], model_id: str
    ) -> Any:
        """Register a logged model; MLflow's client uploads its files."""
        create, short = self._client.create_model_version, tags_there(tags)
        found = self._call(create, name, source, run_id=run_id, tags=short, model_id=model_id)
        return _version(found)

    def get_model_version(self, name: str, version: str) -> Any:
        """Return a version with its tags."""
        return _version(self._call(self._client.get_model_version, name, version))

    def get_model_version_by_alias(self, name: str, alias: str) -> Any:
        """Return the version that an alias names, with its tags."""
        return _version(self._call(self._client.get_model_version_by_alias, name, alias))

    def search_model_versions(self, filter_string: str, page_token: None = None) -> Any:
        """Return all versions that meet the conditions, on one page."""
        from mlflow.store.entities import PagedList

        conditions = _CONDITION.findall(filter_string)
        found = (
            if_any(partial(self.get_model_version, name_here(each.name), each.version))
            for each in self._candidates(conditions)
        )
        met = [each for each in found if each and all(_meets(each, *one) for one in conditions)]
        return PagedList(met, page_token)

    def set_model_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        """Set a tag; one that has parts comes after them, so the old value counts until then."""
        parts = tags_there({key: value})
        for part, text in parts.items():
            self._call(self._client.set_model_version_tag, name, version, part, text)
        self._delete_parts(name, version, key, keep=parts)

    def delete_model_version_tag(self, name: str, version: str, key: str) -> None:
        """Delete a tag with all its parts."""
        self._delete_parts(name, version, key, keep={})

    def _delete_parts(self, name: str, version: str, key: str, keep: Mapping[str, str]) -> None:
        """Delete what belongs to a tag, the tag itself before its parts."""
        found = self._call(self._client.get_model_version, name, version).tags
        for part in sorted(each for each in found if is_part(each, key) and each not in keep):
            self._call(self._client.delete_model_version_tag, name, version, part)

    def _candidates(self, conditions: list[tuple[str, str, str]]) -> Iterator[Any]:
        """Yield the versions, without tags, among which those that meet the conditions are."""
        asked = {field: value for field, _, value in conditions}
        filters = [f"run_id = '{asked['run_id']}'"] if "run_id" in asked else []
        if not filters:
            names = [name_there(asked["name"], self._schema)] if "name" in asked else self._names()
            filters = [f"name = '{name}'" for name in names]
        for text in filters:
            yield from filter(self._is_ours, if_any(partial(self._listed, text)) or ())

    def _listed(self, filter_string: str) -> list[Any]:
        search = partial(self._client.search_model_versions, filter_string)
        with _codes_of_mlflow():
            return list(every(lambda token: search(page_token=token)))

    def _names(self) -> list[str]:
        """Return the full names of the models of our schema."""
        found = every(lambda token: self._client.search_registered_models(page_token=token))
        return [each.name for each in found if self._is_ours(each)]

    def _is_ours(self, found: Any) -> bool:
        return bool(found.name.startswith(f"{self._schema}."))

    def _call(self, method: Any, name: str, *arguments: Any, **options: Any) -> Any:
        with _codes_of_mlflow():
            return method(name_there(name, self._schema), *arguments, **options)


def _version(found: Any) -> Any:
    """Return a version under our names; its source is the logged model again."""
    from mlflow.entities.model_registry import ModelVersion, ModelVersionTag

    logged = _MODEL_ID.search(found.source or "")
    return ModelVersion(
        name=name_here(found.name),
        version=found.version,
        creation_timestamp=found.creation_timestamp,
        description=found.description,
        source=f"models:/{logged[0]}" if logged else found.source,
        run_id=found.run_id,
        aliases=found.aliases,
        tags=[ModelVersionTag(*pair) for pair in tags_here(found.tags).items()],
    )


def _meets(version: Any, field: str, operator: str, value: str) -> bool:
    if operator == ">=":
        return int(version.version) >= int(value)
    if field.startswith("tags"):
        return bool(version.tags.get(field.removeprefix("tags.").strip("`")) == value)
    return bool(getattr(version, field) == value)


@contextmanager
def _codes_of_mlflow() -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        error.error_code = _CODES.get(error.error_code, error.error_code)
        raise
