"""The card of a model, a README with a header in YAML: what it declares."""

from pathlib import Path
from typing import Any

import yaml

from slipway.values import Value

_MOST = 100  # claims of a kind, and characters of one, that are read


class CardClaims(Value):
    """What a model's card says of the model; nobody has checked it.

    Attributes:
        base_models: Names of the models that it was made from.
        datasets: Names of the data sets that it was trained on.
    """

    base_models: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()


def claims(folder: Path) -> CardClaims:
    """Return what the card of a checkpoint claims; nothing if it has none."""
    card = read(folder)
    if card is None:
        return CardClaims()
    return CardClaims(
        base_models=_names(card.data.get("base_model")), datasets=_names(card.data.get("datasets"))
    )


def _names(declared: Any) -> tuple[str, ...]:
    several = declared if isinstance(declared, list) else [declared]
    return tuple(dict.fromkeys(str(each)[:_MOST] for each in several[:_MOST] if each))


def declared_license(folder: Path) -> str | None:
    """Return the license that the header of a folder's card declares, as ``license_text`` does."""
    card = read(folder)
    return license_text(card.data.license) if card else None


def read(folder: Path) -> Any:
    """Return the model card of a checkpoint, as MLflow logs it; None if it has none."""
    from huggingface_hub import ModelCard

    file = folder / "README.md"
    if not file.is_file():
        return None
    # An editor of Windows begins the file with a byte order mark.
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    try:
        return ModelCard(text, ignore_metadata_errors=True)
    except (ValueError, yaml.YAMLError, RecursionError):  # a header that is no mapping in YAML
        return None


def license_text(declared: Any) -> str | None:
    """Return one license, or several with commas, in lower case; None if none is declared."""
    several = declared if isinstance(declared, list) else [declared]
    found = dict.fromkeys(str(each).strip().lower() for each in several if each)
    return ", ".join(found) or None
