"""Reads the prompts of a smoke test: a JSON list, or JSONL with one prompt a line.

A fault names its file, its line and its field, as compilers do.
"""

import ast
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from slipway.catalogue import echo
from slipway.errors import CatalogueInvalid, SourceMissing
from slipway.values import Entry, Prompt

FORMATS = (".json", ".jsonl")
_BETWEEN = re.compile(r"[\s,]*")  # two items of a JSON list


def prompts_path(entry: Entry, folder: Path) -> Path:
    """Return the file of an entry's prompts; the JSON one if there is none.

    Args:
        entry: Its ``suite`` is the file's name without its ending.
        folder: The folder of the expectations.

    Raises:
        CatalogueInvalid: There is one in each format, and nobody knows which is meant.
    """
    paths = [folder / "prompts" / f"{entry.suite}{each}" for each in FORMATS]
    found = [path for path in paths if path.is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise CatalogueInvalid(str(found[0].parent), (f"both {names} exist; remove one of them",))
    return found[0] if found else paths[0]


def prompts_of(entry: Entry, folder: Path) -> tuple[Prompt, ...]:
    """Return the prompts that are asked of an entry; see ``load_prompts``.

    Raises:
        CatalogueInvalid: No prompt has one of the entry's tags, too.
    """
    path = prompts_path(entry, folder)
    prompts = load_prompts(path)
    known = {tag for prompt in prompts for tag in prompt.tags}
    if unknown := [tag for tag in entry.suite_tags if tag not in known]:
        there = ", ".join(sorted(known)) or "none"
        fault = f"no prompt has the tag {unknown[0]!r} of models.{entry.name}.suite_tags"
        raise CatalogueInvalid(str(path), (f"{fault}; there are: {there}",))
    if not entry.suite_tags:
        return prompts
    return tuple(prompt for prompt in prompts if {*prompt.tags} & {*entry.suite_tags})


def prompts_digest(entry: Entry, folder: Path) -> str:
    """Return the SHA-256 of an entry's prompts and of the judges that they name, 64 hex digits."""
    path = prompts_path(entry, folder)
    digest = hashlib.sha256(path.read_bytes())
    for judge in sorted(
        {judge_path(path.parent, each.judge) for each in load_prompts(path) if each.judge}
    ):
        digest.update(f"\n{judge.name}\n".encode() + judge.read_bytes())
    return digest.hexdigest()


def load_prompts(path: Path) -> tuple[Prompt, ...]:
    """Read the prompts of a smoke test.

    Args:
        path: A JSON list of prompts, or a file ``.jsonl`` of one prompt a line. Judges are Python
            files in its folder; they are read, and not executed.

    Returns:
        The prompts in the file's order, at least one.

    Raises:
        SourceMissing: There is no such file.
        CatalogueInvalid: It has other content, an id occurs twice, prompts of one group, which are
            sent in one call, differ in a field of the call, or a judge does not exist.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        advice = "write it, or correct the path in the catalogue"
        raise SourceMissing(str(path), advice) from None
    except UnicodeDecodeError as error:
        raise CatalogueInvalid(str(path), (f"{path.name}: {error}",)) from None
    prompts, faults = _read(path, text)
    if not faults:
        faults = [*_empty(prompts), *_repeated_ids(prompts), *_mixed_groups(prompts)]
        faults += [*_missing_judges(prompts, path)]
    if faults:
        raise CatalogueInvalid(str(path), tuple(faults))
    return tuple(prompts)


def judge_path(folder: Path, judge: str) -> Path:
    """Return the Python file of a judge ``module:function`` that a suite in ``folder`` names."""
    return folder / f"{judge.partition(':')[0]}.py"


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the prompts of a JSONL file as JSON, with their lines; empty lines are ignored."""
    yield from ((at, line) for at, line in enumerate(text.split("\n"), start=1) if line.strip())


def _items(text: str) -> Iterator[tuple[int, str]]:
    """Yield the prompts of a JSON list as JSON, with the lines at which they begin.

    Raises:
        ValueError: It is no JSON, or no list.
    """
    if not isinstance(json.loads(text), list):
        raise ValueError("expected a list of prompts")  # noqa: TRY004 - as bad JSON is
    decoder, place = json.JSONDecoder(), text.index("[") + 1
    while text[place := _BETWEEN.match(text, place).end()] != "]":  # type: ignore[union-attr]
        _, end = decoder.raw_decode(text, place)
        yield text.count("\n", 0, place) + 1, text[place:end]
        place = end


def _read(path: Path, text: str) -> tuple[list[Prompt], list[str]]:
    """Return the prompts of a file, and its faults."""
    prompts: list[Prompt] = []
    faults: list[str] = []
    try:
        for line, item in (_lines if path.suffix == ".jsonl" else _items)(text):
            try:
                prompts.append(Prompt.model_validate_json(item))
            except ValidationError as error:
                where = f"{path.name}:{line}: "
                faults += (where + _fault(each) for each in error.errors() if not echo(each))
    except (ValueError, RecursionError) as error:
        faults.append(f"{path.name}: no JSON: {error}")
    return prompts, faults


def _fault(detail: ErrorDetails) -> str:
    """Return a fault as ``messages[0].role: message``, in one line."""
    parts = (f"[{each}]" if isinstance(each, int) else f".{each}" for each in detail["loc"])
    message = " ".join(detail["msg"].removeprefix("Value error, ").split())
    return f"{''.join(parts).removeprefix('.')}: {message}".removeprefix(": ")


def _empty(prompts: list[Prompt]) -> Iterator[str]:
    if not prompts:
        yield "there has to be at least one prompt"


def _repeated_ids(prompts: list[Prompt]) -> Iterator[str]:
    counts = Counter(prompt.id for prompt in prompts)
    yield from (f"id {name!r} occurs {count} times" for name, count in counts.items() if count > 1)


def _mixed_groups(prompts: list[Prompt]) -> Iterator[str]:
    """Find groups that cannot be one call: MLflow reads these fields from its first row alone."""
    calls = {(prompt.group, prompt.max_tokens, prompt.stop) for prompt in prompts if prompt.group}
    counts = Counter(group for group, *_ in calls)
    rule = "its prompts have to agree in max_tokens and stop"
    yield from (f"group {name!r}: {rule}" for name, count in counts.items() if count > 1)


def _missing_judges(prompts: list[Prompt], path: Path) -> Iterator[str]:
    """Find judges without their file or their function; each is named once."""
    for judge in dict.fromkeys(prompt.judge for prompt in prompts if prompt.judge):
        file, name = judge_path(path.parent, judge), judge.partition(":")[2]
        try:
            tree = ast.parse(file.read_bytes())
        except OSError:
            yield f"judge {judge!r}: {file.name} is not beside {path.name}"
        except (SyntaxError, ValueError) as error:
            yield f"judge {judge!r}: {file.name} is no Python: {error}"
        else:
            if name not in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}:
                yield f"judge {judge!r}: {file.name} has no function {name}"
