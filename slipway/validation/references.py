"""What the JSON files of a source may refer to: files beside them, and never code.

transformers and onnxruntime-genai open files that a data file names, and a name may lead to another
folder. Known fields: ``transformers_weights`` of ``config.json``, ``fast_tokenizer_files`` and
``vocab_file`` of ``tokenizer_config.json``, ``data_file`` of ``tokenizer_module.json``,
``filename`` of processors and ``path`` of sentence-transformers' ``modules.json``. An index of
weights is checked by ``weights``, ``genai_config.json`` by its schema, a graph by ``onnx_graphs``.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from slipway.errors import SourceRefused
from slipway.validation import contents, genai_config, weights
from slipway.values.paths import stays_inside

#: Ends of the fields that name one file or several of the same folder.
_FILES = ("_file", "_files", "filename")
#: Fields that transformers wrote in the past and does not read: most have a path of their author.
_UNREAD = ("special_tokens_map_file", "tokenizer_file")
_KERNELS = ("attn_implementation", "experts_implementation")

_CODE = "use a model that transformers itself supports"


def check(
    files: Mapping[str, Path], beside: Collection[str] = (), *, knows_code: bool = False
) -> dict[str, Any]:
    """Check every JSON file of a source, and return what they contain, by relative path.

    Vocabularies are checked, and left out: their keys are words.

    Args:
        files: All files of the source that are here, by relative path.
        beside: More files of it, which are not here.
        knows_code: Whether ``config.json`` may point to code, since transformers has the model's
            own and the pointer is removed later.

    Raises:
        SourceRefused: With the file and the field at fault.
    """
    found, known = {}, {*files, *beside}
    for name, path in files.items():
        if path.suffix == ".json":
            content = contents.read_json(name, path)
            if path.name not in contents.VOCABULARIES:
                found[name] = content
            if name in found and name != genai_config.NAME:
                for key, value in fields(content):
                    if not (key == "auto_map" and name == "config.json" and knows_code):
                        _check_field(name, key, value, known)
    return found


def _check_field(name: str, key: str, value: Any, files: Collection[str]) -> None:
    if key == "auto_map":
        raise SourceRefused(name, "auto_map asks to run code of the source", _CODE)
    if key.lstrip("_").startswith(_KERNELS) and any("/" in each for each in _texts(value)):
        raise SourceRefused(name, f"{key} asks to run a kernel of the Hub", _CODE)
    if key == "transformers_weights" and value not in (None, weights.SINGLE, weights.INDEX):
        rule = f"{key} names {ascii(value)[:80]}, and only {weights.SINGLE} is loaded"
        raise SourceRefused(name, rule, "remove the field")
    if key == "path" and not all(map(stays_inside, filter(None, _texts(value)))):
        raise SourceRefused(name, "a path in it leads out of its folder", "correct it")
    if key.endswith(_FILES) and key not in _UNREAD:
        folder = name.rpartition("/")[0]
        for each in _texts(value):
            if "/" in each or (f"{folder}/{each}" if folder else each) not in files:
                rule = f"{ascii(key)[:80]} names {ascii(each)[:80]}, which is no file of its folder"
                raise SourceRefused(name, rule, "name a file that is beside it")


def fields(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key and value of nested JSON; without recursion, since it may be deep."""
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield from value.items()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _texts(value: Any) -> list[str]:
    """Return the texts that a field holds: one, or those of a list or of an object's values."""
    several = value.values() if isinstance(value, dict) else value
    several = several if isinstance(value, dict | list) else [value]
    return [each for each in several if isinstance(each, str)]
