"""The record of a release as a file: an in-toto statement, written, read and compared.

``docs/release-record.md`` describes its format, which is a predicate of in-toto's:
https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

import json
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from slipway.errors import VersionRefused
from slipway.values import FileEntry
from slipway.values.release_record import RecordedRelease

#: Names of the record and of its signature in a logged model. Neither is among the record's files.
FILE, SIGNATURE_FILE = "release.json", "model.sig"
#: Of the predicate; raised when a reader of the one before would misread it.
FORMAT = 1

_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "urn:slipway:release-record"
RELEASE_AGAIN = "release the model again with `slipway release MODEL --force`"


def statement(record: RecordedRelease) -> bytes:
    """Return the file that holds a record."""
    subject = [{"name": file.path, "digest": {"sha256": file.sha256}} for file in record.files]
    document = {
        "_type": _STATEMENT,
        "subject": subject,
        "predicateType": f"{_PREDICATE}:{FORMAT}",
        "predicate": {"format": FORMAT, **record.model_dump(mode="json")},
    }
    return json.dumps(document, indent=1, allow_nan=False).encode()


def read(who: str, content: bytes) -> RecordedRelease:
    """Return the record that a file holds.

    Args:
        who: The version, for errors.
        content: The file's.

    Raises:
        VersionRefused: If it is no record, or one of a newer format.
    """
    try:
        predicate = _predicate(json.loads(content))
        require_format(who, FILE, predicate.pop("format"), FORMAT)
        return RecordedRelease.model_validate(predicate)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        reason = f"its {FILE} cannot be read ({where}: {error.errors()[0]['msg']})"
        raise VersionRefused(who, reason, RELEASE_AGAIN) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise VersionRefused(who, f"its {FILE} is no record of a release", RELEASE_AGAIN) from error


def require_format(who: str, file: str, number: object, newest: int) -> None:
    """Check that a file has no later format than this Slipway reads.

    Args:
        who: What it belongs to, for the error.
        file: Its name.
        number: What it says.
        newest: The latest format that is known here.

    Raises:
        VersionRefused: If it has.
    """
    if isinstance(number, int) and number > newest:
        reason = f"its {file} has format {number}; this Slipway reads formats up to {newest}"
        raise VersionRefused(who, reason, "update Slipway")


def _predicate(document: Any) -> dict[str, Any]:
    if document["_type"] != _STATEMENT or not document["predicateType"].startswith(_PREDICATE):
        raise ValueError(document["predicateType"])
    return dict(document["predicate"])


def fault(record: RecordedRelease, name: str, key: str, files: Iterable[FileEntry]) -> str | None:
    """Return why a record does not let a version serve; None if it does.

    Args:
        record: The record inside the version.
        name: The registered model's.
        key: The release key in the version's tags.
        files: What the version's logged model holds.
    """
    if record.model != name:
        return f"its record is one of {record.model}"
    if record.key != key:
        return f"its record is one of another release, {record.key[:12]}…"
    if record.verdict.kind != "promoted":
        return f"its record says {record.verdict.kind}: {'; '.join(record.verdict.reasons)}"
    own = {FILE, SIGNATURE_FILE}
    found = {each.path: each.sha256 for each in files if each.path not in own}
    recorded = {each.path: each.sha256 for each in record.files}
    different = sorted(dict(found.items() ^ recorded.items()))
    return f"{different[0]} is not as its record says" if different else None
