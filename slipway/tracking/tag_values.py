"""What Slipway writes to MLflow as tags: typed values, to tags and back.

Reading goes through ``format_1``, so that tags of every released version are understood.
"""

from collections.abc import Mapping
from typing import Self

from slipway.tracking import format_1, tags
from slipway.values import Rejected, Release, Value, Verdict, VersionState

_LONGEST = 5_000  # characters of a tag, which every database behind MLflow takes


class ReleaseOrigin(Value):
    """What a release is made of; on its run and on both of its versions.

    Attributes:
        license: As the source declares it; empty where it declares none.
        flow_run: Where people see the Prefect run; empty without one.
        digest: ``keys.manifest_digest`` of the artifact.
        code: SHA-256 of the ONNX wrapper's code.
    """

    repo: str
    commit: str
    variant: str
    license: str
    flow_run: str
    digest: str
    code: str

    def to_tags(self) -> dict[str, str]:
        """Return the tags that say it."""
        fields = {name: getattr(self, field) for field, name in _ORIGIN.items()}
        return {tags.FORMAT: tags.CURRENT_FORMAT, **fields}

    @classmethod
    def from_tags(cls, found: Mapping[str, str]) -> Self:
        """Return what the tags of a version or a run say; empty where they say nothing."""
        read = format_1.upgrade(found)
        return cls(**{field: read.get(name, "") for field, name in _ORIGIN.items()})


_ORIGIN = {
    "repo": tags.REPO,
    "commit": tags.COMMIT,
    "variant": tags.VARIANT,
    "license": tags.LICENSE,
    "flow_run": tags.FLOW_RUN,
    "digest": tags.DIGEST,
    "code": tags.CODE,
}


class Outcome(Value):
    """How a release or one of its candidates ended; on its run.

    Attributes:
        verdict: In a word; None where nothing was decided yet.
        reasons: Why, joined by semicolons.
    """

    verdict: str | None
    reasons: str

    @classmethod
    def of(cls, verdict: Verdict) -> Self:
        """Return how a release with this verdict ended."""
        return cls(verdict=verdict.kind, reasons="; ".join(verdict.reasons))

    def to_tags(self) -> dict[str, str]:
        """Return the tags that say it."""
        said = {tags.VERDICT: self.verdict or "", tags.REASONS: self.reasons[:_LONGEST]}
        return {tags.FORMAT: tags.CURRENT_FORMAT, **said}

    @classmethod
    def from_tags(cls, found: Mapping[str, str]) -> Self:
        """Return what the tags of a run say."""
        read = format_1.upgrade(found)
        return cls(verdict=read.get(tags.VERDICT), reasons=read.get(tags.REASONS, ""))


class VersionTags(Value):
    """What the tags of a registered version say of it.

    Attributes:
        release: As it was recorded; None for a version that Slipway did not release.
        released: Whether the release was finished.
        quarantined: Why nothing promotes it; None if it is not quarantined.
        approval: ``pending``, ``approved``, ``rejected`` or ``superseded``, as Slipway or a person
            wrote it; None if none is asked for.
        decided: By whom it was approved or rejected; None until that was carried out.
    """

    release: Release | None
    released: bool
    quarantined: str | None
    approval: str | None
    decided: str | None

    @classmethod
    def from_tags(cls, found: Mapping[str, str]) -> Self:
        """Return what ``found`` says."""
        read = format_1.upgrade(found)
        release = read.get(tags.RELEASE)
        return cls(
            release=Release.model_validate_json(release) if release else None,
            released=read.get(tags.STATUS) == "released",
            quarantined=read.get(tags.QUARANTINED),
            approval=read.get(tags.APPROVAL),
            decided=read.get(tags.DECIDED),
        )

    @property
    def state(self) -> VersionState:
        """The state that these tags describe; a quarantine counts before all but a rejection."""
        if self.approval == "rejected" and self.decided is not None:
            return "rejected"
        if self.quarantined is not None:
            return "quarantined"
        if not self.released:
            return "registered"
        if self.approval is None:
            return "released"
        if self.decided is None:
            return "pending"
        return "approved" if self.approval == "approved" else "superseded"

    @property
    def verdict(self) -> Verdict | None:
        """How the release ended, by its gates or by a person; None for one that is not finished."""
        if self.state == "rejected":
            return Rejected(reasons=(f"rejected by {self.decided}",))
        return self.release.verdict if self.release and self.released else None

    @property
    def barred(self) -> str | None:
        """Why it does not serve before a person lifts that; None if nothing is to be lifted."""
        if self.quarantined is not None:
            return f"quarantined: {self.quarantined}"
        return f"rejected by {self.decided}" if self.state == "rejected" else None

    @property
    def waiting(self) -> bool:
        """Whether an approval was asked for and may still be given."""
        return self.state == "pending"

    @property
    def obstacle(self) -> str | None:
        """Why this version may not become champion; None if it may."""
        if self.quarantined is not None:
            return f"is quarantined ({self.quarantined})"
        return _OBSTACLES.get(self.state)


def answer_in(found: Mapping[str, str | None]) -> str:
    """Return what the tags of a version say about its approval, however a person wrote it."""
    return (found.get(tags.APPROVAL) or "").strip().lower()


_OBSTACLES: dict[VersionState, str] = {
    "registered": "is not released",
    "pending": "waits for approval",
    "rejected": "was not approved",
    "superseded": "was not approved",
}


def release_tags(release: Release) -> dict[str, str]:
    """Return the tags of both versions of a release, the format last."""
    document = release.model_dump_json()
    return {tags.RELEASE: document, tags.STATUS: "released", tags.FORMAT: tags.CURRENT_FORMAT}
