"""The record of a release: what others read in it, what is refused, what it must agree with."""

import json
from typing import Any

import jsonschema
import pytest

from slipway.errors import VersionRefused
from slipway.settings import PROJECT
from slipway.tracking import release_record
from slipway.values import FileEntry, Rejected
from slipway.values.release_record import RecordedRelease

RECORDED = PROJECT / "tests" / "support" / "recorded" / "release-record-1.json"
SCHEMA = PROJECT / "docs" / "release-record.schema.json"


@pytest.fixture
def document() -> Any:
    """Return a record of format 1, as it was written when that was the newest."""
    return json.loads(RECORDED.read_bytes())


def read(document: Any) -> RecordedRelease:
    """Return the record that a document holds."""
    return release_record.read("tiny v1", json.dumps(document).encode())


def test_a_record_of_format_1_is_read_and_written_again_as_it_was() -> None:
    """A reader of every format that was ever written stays."""
    content = RECORDED.read_bytes()

    assert release_record.statement(release_record.read("tiny v1", content)) == content


def test_a_record_is_an_in_toto_statement_about_every_file(document: Any) -> None:
    """A tool that knows in-toto finds each file with its SHA-256."""
    record = read(document)

    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "urn:slipway:release-record:1"
    subjects = {each["name"]: each["digest"]["sha256"] for each in document["subject"]}
    assert subjects == {file.path: file.sha256 for file in record.files}


def test_the_documented_schema_is_that_of_the_record(document: Any) -> None:
    """What changes the record changes ``docs/release-record.schema.json`` in the same commit."""
    documented = json.loads(SCHEMA.read_bytes())
    schema = RecordedRelease.model_json_schema(mode="serialization")
    number = {"const": release_record.FORMAT, "type": "integer"}

    jsonschema.validate(document["predicate"], documented)
    assert documented == schema | {
        "properties": {"format": number, **schema["properties"]},
        "required": ["format", *schema["required"]],
    }


def test_a_newer_format_says_to_update(document: Any) -> None:
    """Whatever else a newer record has."""
    document["predicate"] |= {"format": 2, "moon": "full"}

    with pytest.raises(VersionRefused, match=r"has format 2; .* formats up to 1; update Slipway"):
        read(document)


@pytest.mark.parametrize(
    "broken",
    [
        [],
        "text",
        {},
        {"_type": "https://in-toto.io/Statement/v1"},
        {
            "_type": "https://in-toto.io/Statement/v1",
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {"format": 1},
        },
        {
            "_type": "https://in-toto.io/Statement/v1",
            "predicateType": "urn:slipway:release-record:1",
            "predicate": {},
        },
    ],
)
def test_what_is_no_record_is_refused(broken: Any) -> None:
    """It says so, and what to do."""
    with pytest.raises(VersionRefused, match=r"is no record of a release; release .* --force"):
        read(broken)


@pytest.mark.parametrize("field", ["key", "files", "verdict", "at"])
def test_a_record_without_a_field_names_the_field(document: Any, field: str) -> None:
    """So that its writer can be found."""
    del document["predicate"][field]

    with pytest.raises(VersionRefused, match=rf"cannot be read \({field}: "):
        read(document)


def test_a_record_agrees_with_its_own_version(document: Any) -> None:
    """Record and signature themselves are not among its files."""
    record = read(document)
    own = tuple(
        FileEntry(path=path, size_bytes=1, sha256="00" * 32)
        for path in (release_record.FILE, release_record.SIGNATURE_FILE)
    )

    fault = release_record.fault(record, record.model, record.key, (*record.files, *own))

    assert fault is None


def test_a_record_of_something_else_is_a_fault(document: Any) -> None:
    """Of another model or release, with other files, or of a release that was rejected."""
    record = read(document)
    first, *others = record.files
    changed = first.model_copy(update={"sha256": "00" * 32})
    added = first.model_copy(update={"path": "more.txt"})
    rejected = record.model_copy(update={"verdict": Rejected(reasons=("it loops",))})

    def fault(
        found: RecordedRelease = record,
        name: str = record.model,
        key: str = record.key,
        files: tuple[FileEntry, ...] = record.files,
    ) -> str | None:
        return release_record.fault(found, name, key, files)

    assert fault(name="other") == f"its record is one of {record.model}"
    assert (fault(key="0" * 64) or "").startswith("its record is one of another release")
    assert fault(found=rejected) == "its record says rejected: it loops"
    for files in ((changed, *others), (*record.files, added), tuple(others)):
        assert (fault(files=files) or "").endswith("is not as its record says")
