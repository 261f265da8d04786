"""The texts that a model reads: an artifact and its source to compare them, or to calibrate it."""

from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

from pydantic import TypeAdapter

from slipway import keys
from slipway.catalogue import read_json
from slipway.errors import CatalogueInvalid, SourceMissing
from slipway.values import Calibration, PromptMessage, Recipe, SelectRecipe, Text


def load_texts(folder: Path) -> tuple[Text, ...]:
    """Read a folder of texts.

    Args:
        folder: Has one file a kind: a ``.txt`` is one text, a ``.json`` a list of conversations.

    Returns:
        The texts in order of their files' names, at least one.

    Raises:
        SourceMissing: There is no such folder.
        CatalogueInvalid: A file is none of these; all faults are reported at once.
    """
    if not folder.is_dir():
        raise SourceMissing(str(folder), "write it, or correct the path in the catalogue")
    paths = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    found: list[Text] = []
    faults: list[str] = [] if paths else ["there has to be at least one text"]
    for path in paths:
        try:
            found += _READERS.get(path.suffix, _unknown)(path)
        except CatalogueInvalid as error:
            faults += [f"{path.name}: {fault}" for fault in error.faults]
    if faults:
        raise CatalogueInvalid(str(folder), tuple(faults))
    return tuple(found)


def load_calibration(recipe: Recipe, expectations: Path) -> Calibration | None:
    """Read what a recipe's candidates are calibrated on; None if none of them is.

    Args:
        recipe: The recipe.
        expectations: Has the texts in the folder ``calibration``, as ``load_texts`` reads them.

    Raises:
        SourceMissing: As ``load_texts``, and so is ``CatalogueInvalid``.
    """
    if isinstance(recipe, SelectRecipe) or not recipe.is_calibrated:
        return None
    return Calibration(texts=load_texts(expectations / "calibration"))


def texts_digest(texts: tuple[Text, ...]) -> str:
    """Return the SHA-256 of the texts in their order, 64 hex digits: part of a reading's key."""
    return keys.digest([text.model_dump(mode="json") for text in texts])


def _plain(path: Path) -> Iterator[Text]:
    try:
        content = path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise CatalogueInvalid(str(path), ("it is not UTF-8",)) from None
    if not content:
        raise CatalogueInvalid(str(path), ("it is empty",))
    yield Text(group=path.stem, content=content)


def _conversations(path: Path) -> Iterator[Text]:
    conversations = read_json(TypeAdapter(tuple[tuple[PromptMessage, ...], ...]), path)
    rule = "user and assistant have to take turns, and the last message is the user's"
    faults = (
        f"[{place}]: {rule}" for place, each in enumerate(conversations) if not _open_ended(each)
    )
    if fault := tuple(faults):
        raise CatalogueInvalid(str(path), fault)
    yield from (Text(group=path.stem, messages=each) for each in conversations)


def _open_ended(messages: tuple[PromptMessage, ...]) -> bool:
    """Return whether any chat template accepts the conversation, and the model answers next."""
    expected = cycle(("user", "assistant"))
    turns = all(message.role == role for message, role in zip(messages, expected, strict=False))
    return turns and len(messages) % 2 == 1


def _unknown(path: Path) -> Iterator[Text]:
    raise CatalogueInvalid(str(path), ("a text is a .txt or a .json file",))


_READERS: dict[str, Callable[[Path], Iterator[Text]]] = {".json": _conversations, ".txt": _plain}
