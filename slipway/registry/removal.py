"""Versions that nothing needs any more leave the registry."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from slipway.errors import MoveRefused
from slipway.registry.alias_transaction import AliasTransactions
from slipway.registry.change_record import AliasTransaction
from slipway.registry.lookup import state_of
from slipway.registry.transitions import Command
from slipway.tracking.location import every
from slipway.tracking.tags import KEY, PINNED
from slipway.values import AuditInfo, RegisteredRelease, registered_names

#: An id of MLflow's, wherever in an address it stands.
_LOGGED_MODEL = re.compile(r"\bm-[0-9a-f]{32}\b")


class Removals(AliasTransactions):
    """Lists what the registry has of each release, and deletes versions."""

    def releases(self, model: str) -> tuple[RegisteredRelease, ...]:
        """Return what the registry has of each release of a model, oldest first."""
        names = registered_names(model)
        found = self._every_version()
        copies: dict[str, list[str]] = {}
        for address, version in found.items():
            copies.setdefault(str(version.source), []).append(address)
        by_key: dict[str, list[Any]] = {}
        for version in found.values():
            if version.name in names and (key := version.tags.get(KEY)):
                by_key.setdefault(key, []).append(version)
        aliases: dict[str, list[str]] = {}
        for name in names:
            for alias, number in self.aliases(name).items():
                aliases.setdefault(f"models:/{name}/{number}", []).append(alias)
        releases = (_release(model, versions, aliases, copies) for versions in by_key.values())
        return tuple(sorted(releases, key=lambda each: each.number))

    def readers(self) -> Mapping[str, tuple[str, ...]]:
        """Return the addresses of the registered versions that read each logged model, by its id.

        A version that was copied from another one reads that one's files.
        """
        return _readers(self._every_version())

    @contextmanager
    def removing(
        self,
        model: str,
        gone: Sequence[RegisteredRelease],
        emptied: Sequence[RegisteredRelease],
        files: Collection[str],
        audit: AuditInfo,
    ) -> Iterator[None]:
        """Delete the versions of releases; the body then deletes files, under the same lock.

        Args:
            model: The serving model.
            gone: Releases whose versions are deleted.
            emptied: Releases whose versions stay without their files.
            files: Ids of the logged models that the body deletes.
            audit: By whom or what, and why.

        Raises:
            MoveRefused: If the state of one of them does not allow it; nothing was deleted.
            RegistryConflict: If one of them is in use by now, likewise. Also if another machine is
                changing the aliases, or if a deletion fails.
        """
        commands: dict[int, Command] = {each.number: "discard" for each in emptied}
        commands |= {each.number: "remove" for each in gone if each.state != "absent"}
        transaction = AliasTransaction(
            model=model,
            kind="clean-up",
            audit=audit,
            version=max(commands, default=None),
            aliases={},
        )
        with self._locked(model):
            self._recover(model)
            with self._recorded(transaction, commands):
                for release in (*gone, *emptied):
                    self._require_unused(release)
                self._require_unread(model, gone, emptied, files)
                for name, number in (version for each in gone for version in each.versions):
                    self.client.delete_model_version(name, str(number))
                yield

    def _require_unused(self, release: RegisteredRelease) -> None:
        """Refuse to delete what a person has begun to use since it was listed."""
        for name, number in release.versions:
            aliases = [alias for alias, named in self.aliases(name).items() if named == number]
            if aliases or self.tags(name, number).get(PINNED):
                reason = f"version {number} of {name} is in use by now"
                raise MoveRefused(release.model, reason, "nothing was deleted")

    def _require_unread(
        self,
        model: str,
        gone: Sequence[RegisteredRelease],
        emptied: Sequence[RegisteredRelease],
        files: Collection[str],
    ) -> None:
        """Refuse to delete what another version has begun to read since it was listed."""
        sources = {address for each in gone for address in each.addresses}
        known = sources | {address for each in emptied for address in each.addresses}
        versions = self._every_version()
        readers = _readers(versions)
        found = {address for name in files for address in readers.get(name, ())}
        found |= {address for address, each in versions.items() if each.source in sources}
        if others := sorted(found - known):
            raise MoveRefused(model, f"{others[0]} reads it by now", "nothing was deleted")

    def _every_version(self) -> dict[str, Any]:
        """Return the versions of all registered models by their addresses."""
        found = every(lambda token: self.client.search_model_versions("", page_token=token))
        return {_address(each): each for each in found}


def _readers(versions: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
    """Return what ``readers`` does, of versions by their addresses."""
    found: dict[str, tuple[str, ...]] = {}
    for address, version in versions.items():
        source, seen = str(version.source), {address}
        while source in versions and source not in seen:
            seen.add(source)
            source = str(versions[source].source)
        for model_id in _LOGGED_MODEL.findall(source):
            found[model_id] = (*found.get(model_id, ()), address)
    return found


def _release(
    model: str,
    versions: Sequence[Any],
    aliases: Mapping[str, Sequence[str]],
    copies: Mapping[str, Sequence[str]],
) -> RegisteredRelease:
    """Return a release, given the aliases and the copies of every version by its address."""
    serving = next((each for each in versions if each.name == model), None)
    addresses = [_address(each) for each in versions]
    created_ms = max(each.creation_timestamp for each in versions)
    return RegisteredRelease(
        model=model,
        number=int((serving or versions[0]).version),
        versions=tuple((each.name, int(each.version)) for each in versions),
        state=state_of(serving).state if serving else "absent",
        aliases=tuple(sorted({alias for each in addresses for alias in aliases.get(each, ())})),
        pinned=any(each.tags.get(PINNED) for each in versions),
        copied_to=tuple(copy for each in addresses for copy in copies.get(each, ())),
        used_at=datetime.fromtimestamp(created_ms / 1000, UTC),
    )


def _address(version: Any) -> str:
    return f"models:/{version.name}/{version.version}"
