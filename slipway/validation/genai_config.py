"""``genai_config.json`` against a closed schema.

onnxruntime-genai does what this file says: it can name a library, which is loaded with the rights
of the process, and a file to write, wherever that is. So only the fields of the schema are allowed:
those that the builder of onnxruntime-genai 0.18 writes and that its reader knows for models of text
and images, see https://onnxruntime.ai/docs/genai/reference/config.html.
"""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from slipway.errors import SourceRefused
from slipway.settings import PROJECT
from slipway.validation import contents

NAME = "genai_config.json"
SCHEMA = PROJECT / "expectations" / "genai_config.schema.json"

_FILE_FIELDS = ("filename", "config_filename")
_REPORTED_FAULTS = 100
_SHOWN_CHARACTERS = 160
_LONG_CHARACTERS = 60


def check(path: Path) -> None:
    """Check a configuration before onnxruntime-genai reads it.

    Args:
        path: The file, in the folder of the graphs that it names.

    Raises:
        SourceRefused: With the field at fault.
    """
    config = contents.read_object(NAME, path)
    _check_schema(config)
    for file in _named_files(config):
        if not (path.parent / file).is_file():
            raise SourceRefused(NAME, f"it names {file!a}, which is missing", "add the file")
    context, longest = config["model"]["context_length"], config["search"]["max_length"]
    if longest > context:
        rule = f"search.max_length is {longest:,}, and model.context_length {context:,}"
        raise SourceRefused(NAME, rule, "lower search.max_length")


def _check_schema(config: dict[str, Any]) -> None:
    from jsonschema import Draft202012Validator

    schema = json.loads(SCHEMA.read_bytes())
    faults = islice(Draft202012Validator(schema).iter_errors(config), _REPORTED_FAULTS)
    first = min(faults, key=lambda fault: (len(fault.absolute_path), fault.json_path), default=None)
    if first is not None:
        field = first.json_path.removeprefix("$").removeprefix(".") or "the whole file"
        value = repr(first.instance)
        shown = first.message.replace(value, value if len(value) < _LONG_CHARACTERS else "it")
        rule = f"not allowed: {field if field.isprintable() else ascii(field)}: {shown}"
        raise SourceRefused(NAME, rule[:_SHOWN_CHARACTERS], f"change that, see {SCHEMA.name}")


def _named_files(config: Any) -> Iterator[str]:
    """Yield every file that a configuration names; it was checked, so it is not deep."""
    if isinstance(config, dict):
        yield from (config[key] for key in _FILE_FIELDS if key in config)
        config = list(config.values())
    for value in config if isinstance(config, list) else ():
        yield from _named_files(value)
