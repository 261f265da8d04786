"""The checks of a smoke test's answers with Great Expectations.

A suite is data. Besides Great Expectations' own fields, the ``meta`` of an expectation may contain
``show``, the columns that explain a failure, and ``wrappers``, the wrappers that it applies to. The
JSON schema of an answer is a file of its own, one per contract.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter

from slipway.catalogue import read_json
from slipway.checks import answer_table
from slipway.checks.prompt_files import prompts_of, prompts_path
from slipway.errors import CatalogueInvalid
from slipway.evaluation import gates, units
from slipway.values import (
    WRAPPER_KINDS,
    Answers,
    CheckResult,
    Contract,
    Entry,
    GateLimits,
    Prompt,
    Severity,
    Value,
    WrapperKind,
)

MATCH_SCHEMA = "expect_column_values_to_match_json_schema"
COLUMN_EXISTS = "expect_column_to_exist"
SHARE_OF_VALUES = "expect_column_proportion_of_non_null_values_to_be_between"
#: Columns that only have values where a prompt has this field.
NEEDED_FIELDS = {"stop_respected": "stop", "deterministic": "repeat"}
OBSERVED_CHARACTERS = 80
SHOWN_CHARACTERS = 30  # of a value that breaks the schema, so that the rule fits into the line


class Meta(Value):
    """Our own part of an expectation, which Great Expectations ignores.

    Attributes:
        show: Columns whose values are shown with a failure; empty for the checked column.
        wrappers: The wrappers that the expectation applies to.
    """

    show: tuple[str, ...] = ()
    wrappers: tuple[WrapperKind, ...] = WRAPPER_KINDS


class Expectation(Value):
    """One entry of a suite.

    Attributes:
        description: The check's name in reports.
        severity: Whether a failure blocks the promotion or is only shown.
        type: Name of the expectation in Great Expectations.
        kwargs: Arguments of the expectation.
    """

    description: str = Field(min_length=1)
    severity: Severity
    type: str
    kwargs: dict[str, Any]
    meta: Meta = Meta()


class Suite(Value):
    """The expectations of one contract."""

    name: Contract
    expectations: tuple[Expectation, ...]


def require_checkable(entry: Entry, folder: Path) -> None:
    """Check that the entry's prompts suffice for its suites and gates.

    Else every release of it would be inconclusive, after everything was built.

    Args:
        entry: Names the prompts, the contracts and the gates.
        folder: The folder of the suites and schemas, with the prompts below it.

    Raises:
        SourceMissing: One of the files does not exist.
        CatalogueInvalid: With everything that could never pass.
    """
    path = prompts_path(entry, folder)
    prompts = prompts_of(entry, folder)
    contracts: dict[WrapperKind, Contract] = {
        "onnx": entry.wrappers.onnx,
        "transformers": entry.wrappers.transformers,
    }
    lacking = (
        fault
        for kind, contract in contracts.items()
        for fault in _lacking(prompts, _load_suite(folder, contract), kind)
    )
    least = gates.limits_for(entry.gates, "int8").get("answered_prompts", GateLimits()).min or 0
    few = f"{len(prompts)} prompts, and the gate answered_prompts needs {least:g}"
    way_out = f"add some, or set models.{entry.name}.gates.answered_prompts"
    too_few = [f"{few}; {way_out}"] if len(prompts) < least else []
    if faults := (*dict.fromkeys(lacking), *too_few):
        raise CatalogueInvalid(str(path), faults)


def _lacking(prompts: tuple[Prompt, ...], suite: Suite, kind: WrapperKind) -> Iterator[str]:
    """Yield the critical checks of one wrapper for which no prompt has the field they need."""
    for expectation in suite.expectations:
        field = NEEDED_FIELDS.get(str(expectation.kwargs.get("column")))
        applies = expectation.severity == "critical" and kind in expectation.meta.wrappers
        if field and applies and not any(getattr(prompt, field) for prompt in prompts):
            check = f"the check {expectation.description!r} of {suite.name}.json"
            yield f"no prompt has a field {field}, so {check} could never pass; add one"


def suite_digest(folder: Path, contract: Contract) -> str:
    """Return the SHA-256 of a contract's suite and schema, 64 hex digits: part of a release key.

    Raises:
        SourceMissing: One of the files does not exist.
        CatalogueInvalid: One of them breaks its schema.
    """
    _load_suite(folder, contract)
    digest = hashlib.sha256()
    for path in (_suite_path(folder, contract), _schema_path(folder, contract)):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def check(answers: Answers, prompts: tuple[Prompt, ...], folder: Path) -> tuple[CheckResult, ...]:
    """Check the answers of one wrapper with the suite of its contract.

    Args:
        answers: All answers of the wrapper.
        prompts: The prompts of the smoke test.
        folder: The folder of the suites and schemas.

    Returns:
        One check per expectation that applies to the wrapper, in the suite's order. It is undecided
        if the expectation raised an error, or had no value to check.

    Raises:
        SourceMissing: The suite or its schema does not exist.
        CatalogueInvalid: One of them breaks its schema, or Great Expectations rejects it.
    """
    suite = _load_suite(folder, answers.contract)
    entries = [entry for entry in suite.expectations if answers.kind in entry.meta.wrappers]
    expectations = _expectations(entries, _suite_path(folder, answers.contract))
    table = answer_table.rows(answers, prompts)
    batch = _batch(table)
    parameters = {"prompt_count": len(prompts)}
    return tuple(
        _check(entry, _validate(batch, expectation, parameters), table, batch)
        for entry, expectation in zip(entries, expectations, strict=True)
    )


def schema(folder: Path, contract: Contract) -> dict[str, Any]:
    """Return the JSON schema of one answer under ``contract``."""
    return read_json(TypeAdapter(dict[str, Any]), _schema_path(folder, contract))


def _suite_path(folder: Path, contract: Contract) -> Path:
    return folder / f"{contract}.json"


def _schema_path(folder: Path, contract: Contract) -> Path:
    return folder / f"{contract}.schema.json"


def _load_suite(folder: Path, contract: Contract) -> Suite:
    """Read the suite of a contract, and insert the contract's schema where it is checked."""
    suite = read_json(TypeAdapter(Suite), _suite_path(folder, contract))
    found = schema(folder, contract)
    entries = tuple(_with_schema(entry, found) for entry in suite.expectations)
    return suite.model_copy(update={"expectations": entries})


def _with_schema(entry: Expectation, answer: dict[str, Any]) -> Expectation:
    if entry.type != MATCH_SCHEMA:
        return entry
    return entry.model_copy(update={"kwargs": {"json_schema": answer, **entry.kwargs}})


def _expectations(entries: list[Expectation], path: Path) -> list[Any]:
    """Return Great Expectations' own objects; made one by one, since its suites drop bad ones."""
    from great_expectations.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    expectations, faults = [], []
    for entry in entries:
        try:
            expectations.append(ExpectationConfiguration(**entry.model_dump()).to_domain_obj())
        except (GreatExpectationsError, TypeError, ValueError) as error:
            faults.append(f"{entry.description!r}: {_line(str(error))}")
    if faults:
        raise CatalogueInvalid(str(path), tuple(faults))
    return expectations


def _batch(table: list[answer_table.Row]) -> Any:
    """Return the rows as a batch of Great Expectations, in a context that writes no files."""
    import great_expectations
    import pandas as pd

    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    context = great_expectations.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    # As objects: otherwise whole numbers beside a None become floats, and the None a NaN
    data = pd.DataFrame(table, dtype=object)
    return context.data_sources.pandas_default.read_dataframe(data)


def _validate(batch: Any, expectation: Any, parameters: dict[str, int]) -> dict[str, Any]:
    """Return the result of one expectation as plain JSON."""
    from great_expectations.exceptions import GreatExpectationsError

    form = {"result_format": "COMPLETE", "unexpected_index_column_names": ["prompt_id"]}
    try:
        result = batch.validate(expectation, result_format=form, expectation_parameters=parameters)
    except (GreatExpectationsError, ValueError) as error:  # such as an unknown $PARAMETER
        failure = {"raised_exception": True, "exception_message": str(error)}
        return {"success": False, "result": {}, "exception_info": failure}
    return dict(result.to_json_dict())


def _nulls(batch: Any, entry: Expectation) -> dict[str, Any]:
    """Return how many values the expectation's column has, and how many of them are missing."""
    from great_expectations.expectations import ExpectColumnValuesToNotBeNull

    named = {
        name: entry.kwargs[name] for name in ("column", "row_condition") if name in entry.kwargs
    }
    counted = _validate(batch, ExpectColumnValuesToNotBeNull(**named), {})["result"]
    return {
        "element_count": counted.get("element_count", 0),
        "missing_count": counted.get("unexpected_count", 0),
    }


def _check(
    entry: Expectation,
    outcome: dict[str, Any],
    table: list[answer_table.Row],
    batch: Any,
) -> CheckResult:
    """Return the result of Great Expectations as ours."""
    column = entry.kwargs.get("column")
    result_of = partial(CheckResult, name=entry.description, severity=entry.severity, column=column)
    message, result = _exception(outcome["exception_info"]), outcome["result"]
    if message is not None:
        return result_of(passed=None, observed=_line(message))
    if _is_empty(result if "element_count" in result else _counts(entry, batch)):
        return result_of(passed=None, observed="nothing to check")
    if outcome["success"]:
        return result_of(passed=True)
    indices = result.get("unexpected_index_list") or ()
    failing = tuple(dict.fromkeys(index["prompt_id"] for index in indices))
    observed = _observed(entry, result, failing, table)
    return result_of(passed=False, failing=failing, observed=observed)


def _exception(info: dict[str, Any]) -> str | None:
    """Return the error, in ``info`` itself or in the entry of one metric."""
    infos = [info] if "raised_exception" in info else info.values()
    return next((str(one["exception_message"]) for one in infos if one["raised_exception"]), None)


def _counts(entry: Expectation, batch: Any) -> dict[str, Any]:
    """Return the counts of an expectation about a whole column or the table.

    Great Expectations reports none. Those of the table, and those that are about missing values or
    columns themselves, have something to check as long as there are rows.
    """
    if entry.type == COLUMN_EXISTS or "column" not in entry.kwargs:
        return {"element_count": 1}
    counted = _nulls(batch, entry)
    return counted | ({"missing_count": 0} if entry.type == SHARE_OF_VALUES else {})


def _is_empty(counts: dict[str, Any]) -> bool:
    """Return whether there was no value to check, which Great Expectations counts as success."""
    return bool(counts["element_count"] == counts.get("missing_count", 0))


def _observed(
    entry: Expectation,
    result: dict[str, Any],
    failing: tuple[str, ...],
    table: list[answer_table.Row],
) -> str:
    """Return what is wrong with the first failing answer."""
    if not failing:
        return _line(_of_the_column(entry, result))
    row = next(row for row in table if row["prompt_id"] == failing[0])
    if entry.type == MATCH_SCHEMA:
        return _line(_schema_fault(str(row["response"]), entry.kwargs["json_schema"]))
    if entry.meta.show:
        shown = ((column, _in_words(column, row.get(column))) for column in entry.meta.show)
        return _line(", ".join(map("=".join, shown)))
    values = result["partial_unexpected_list"]
    return _line(", ".join(_in_words(str(entry.kwargs.get("column")), each) for each in values))


def _of_the_column(entry: Expectation, result: dict[str, Any]) -> str:
    """Return what is wrong with a whole column or the table."""
    if entry.type == COLUMN_EXISTS:
        return f"column {entry.kwargs['column']!r} is not there"
    parts = {
        "not allowed": result.get("partial_unexpected_list"),
        "missing": result.get("partial_missing_list"),
    }
    if result.get("observed_value") is None and any(parts.values()):
        return ", ".join(f"{what}: {values!r}" for what, values in parts.items() if values)
    return _in_words(str(entry.kwargs.get("column")), result.get("observed_value"))


def _in_words(column: str, value: Any) -> str:
    """Write a value of a column, with the unit that the end of the column's name says."""
    if not isinstance(value, float):
        return repr(value)
    return units.latency(value) if column.endswith("_ms") else units.number(value)


def _schema_fault(response: str, schema: dict[str, Any]) -> str:
    """Return which part of a response breaks the schema; Great Expectations does not report it."""
    from jsonschema.exceptions import best_match
    from jsonschema.validators import validator_for

    fault = best_match(validator_for(schema)(schema).iter_errors(json.loads(response)))
    if fault is None:
        return ""
    value = repr(fault.instance)
    return f"{fault.json_path}: {fault.message.replace(value, value[:SHOWN_CHARACTERS])}"


def _line(text: str) -> str:
    """Fold ``text`` into one short line."""
    line = " ".join(text.split())
    return line if len(line) <= OBSERVED_CHARACTERS else line[: OBSERVED_CHARACTERS - 1] + "…"
