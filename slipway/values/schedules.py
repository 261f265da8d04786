"""Cron expressions, read by the parser that Prefect's scheduler uses: croniter.

Prefect carries a copy of croniter and depends on no other. The copy is loaded from its files, since
importing ``prefect`` would read Prefect's settings before ours are applied.
"""

import importlib.util
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Annotated

from pydantic import AfterValidator

#: Keywords of croniter that Prefect refuses: a random and a hashed moment.
_REFUSED = {"r", "h"}
_FIELDS = 5


def _checked(expression: str) -> str:
    words = expression.split()
    if len(words) != _FIELDS or _REFUSED & {word.casefold() for word in words}:
        raise ValueError("a cron expression of five fields, such as 0 6 * * 1")
    parser = _parser()
    try:
        parser.croniter(expression, datetime.now(UTC)).get_next(datetime)
    except (parser.CroniterError, AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"a cron expression of moments that come; {error}") from error
    return expression


@cache
def _parser() -> ModuleType:
    found = importlib.util.find_spec("prefect")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("prefect is not installed")
    file = Path(found.origin).parent / "_vendor" / "croniter" / "__init__.py"
    name = f"{__name__}.croniter"
    spec = importlib.util.spec_from_file_location(
        name, file, submodule_search_locations=[str(file.parent)]
    )
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"Prefect has no {file}")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


#: When something runs again, in UTC: five fields with a next moment.
CronExpression = Annotated[str, AfterValidator(_checked)]
