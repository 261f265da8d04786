"""What the smoke test asks, and what it expects of the answers, with Great Expectations.

A suite is data. Beyond Great Expectations' own fields, the ``meta`` of an expectation may hold
``show``, the columns that explain a failure, and ``wrappers``, the wrappers it applies to. A JSON
schema is not repeated in the suite: it lies beside it, one per contract.
"""

import hashlib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from slipway import frame
from slipway.errors import CatalogueInvalid, SourceMissing
from slipway.values import Answers, Check, Contract, Prompt, Severity, Value, WrapperKind

T = TypeVar("T")

MATCH_SCHEMA = "expect_column_values_to_match_json_schema"
OBSERVED_CHARACTERS = 80


class Meta(Value):
    """What an expectation says to us, and not to Great Expectations.

    Attributes:
        show: Columns whose values are shown with a failure; empty for the checked column's own.
        wrappers: The wrappers that it applies to.
    """

    show: tuple[str, ...] = ()
    wrappers: tuple[WrapperKind, ...] = ("onnx", "transformers")


class Expectation(Value):
    """One entry of a suite.

    Attributes:
        description: What is expected, in words.
        severity: Whether a failure blocks or is only shown.
        type: Great Expectations' name of it.
        kwargs: Its arguments.
        meta: How it is reported, and for whom.
    """

    description: str = Field(min_length=1)
    severity: Severity
    type: str
    kwargs: dict[str, Any]
    meta: Meta = Meta()


class Suite(Value):
    """The expectations of one contract."""

    name: Contract
    expectations: tuple[Expectation, ...] = Field(min_length=1)


def load_prompts(path: Path) -> tuple[Prompt, ...]:
    """Read the prompts of a smoke test.

    Args:
        path: A JSON list of prompts.

    Returns:
        The prompts in the file's order, at least one.

    Raises:
        SourceMissing: There is no such file.
        CatalogueInvalid: It is not such a list, an id occurs twice, or prompts of one group, which
            are asked in one call, differ in what belongs to the call.
    """
    prompts = _load(tuple[Prompt, ...], path)
    faults = (*_repeated_ids(prompts), *_mixed_groups(prompts))
    if not prompts:
        faults = ("no prompts: there has to be at least one",)
    if faults:
        raise CatalogueInvalid(str(path), faults)
    return prompts
