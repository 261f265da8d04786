"""The bill of materials is CycloneDX 1.6, and keeps what was checked apart from what is claimed."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from slipway.sources import model_card
from slipway.sources.model_card import CardClaims
from slipway.tracking import bill_of_materials, release_record
from slipway.values.release_record import RecordedRelease
from tests.unit.test_release_record import RECORDED

CLAIMS = CardClaims(base_models=("acme/base",), datasets=("acme/letters", "acme/tables"))


@pytest.fixture
def record() -> RecordedRelease:
    """Return a record."""
    return release_record.read("tiny v1", RECORDED.read_bytes())


def fault(text: str) -> Any:
    """Return what CycloneDX's own schema does not allow; None if it allows all of it."""
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)


def test_it_is_valid_cyclonedx(record: RecordedRelease) -> None:
    """With the packages of this environment, and without any claim."""
    packages = bill_of_materials.installed()
    full = bill_of_materials.document(record, CLAIMS, packages).decode()

    assert len(packages) > 50
    assert fault(full) is None
    assert fault(bill_of_materials.document(record, CardClaims(), {}).decode()) is None
    assert fault(full.replace('"machine-learning-model"', '"model"')) is not None


def test_every_component_says_how_it_is_known(record: RecordedRelease) -> None:
    """Files were read, packages were installed, the card's words are claims."""
    bill = json.loads(bill_of_materials.document(record, CLAIMS, {"numpy": "2.4.0"}))

    known = defaultdict(set)
    model = bill["metadata"]["component"]
    for each in (*bill["components"], *model["pedigree"]["ancestors"]):
        (evidence,) = (p["value"] for p in each["properties"] if p["name"] == "slipway:evidence")
        known[evidence].add(each["name"])
    assert known == {
        "checked against bytes": {file.path for file in record.files},
        "installed when released": {"numpy"},
        "claimed": {"acme/base", "acme/letters", "acme/tables"},
    }
    assert model["licenses"][0]["license"]["acknowledgement"] == "declared"
    assert {"name": "slipway:evidence:licenses", "value": "claimed"} in model["properties"]


def test_claims_are_read_from_the_card(tmp_path: Path) -> None:
    """One or several of each; a card without them, or no card, claims nothing."""
    header = "---\nbase_model: acme/base\ndatasets: [acme/letters, acme/tables]\n---\n# Tiny\n"
    (tmp_path / "README.md").write_text(header, encoding="utf-8")

    assert model_card.claims(tmp_path) == CLAIMS
    (tmp_path / "README.md").write_text("# Tiny\n", encoding="utf-8")
    assert model_card.claims(tmp_path) == CardClaims()
    assert model_card.claims(tmp_path / "nothing") == CardClaims()
