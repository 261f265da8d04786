"""The card of a model, a README with a header in YAML: a source's is read, a release's written."""

from pathlib import Path
from typing import Any

import yaml

from slipway.values import Value

_MOST = 100  # claims of a kind, and characters of one, that are read


class CardResult(Value):
    """A figure in the metadata of a card.

    Attributes:
        title: The metric's name for people.
        page: Address of the run's page.
    """

    metric: str
    title: str
    value: float
    run_id: str
    page: str


class CardMetadata(Value):
    """What the header of a released artifact's card says.

    Attributes:
        base_model: Public name of the source.
        license: As the source declares it, several with commas; None if it declares none.
    """

    model: str
    base_model: str
    license: str | None
    results: tuple[CardResult, ...]


def with_metadata(text: str, metadata: CardMetadata) -> str:
    """Return a card: a text below the header that the Hub reads."""
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    licenses = metadata.license.split(", ") if metadata.license else []
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type="text",
            dataset_name="texts of the release, against the base model",
            metric_type=each.metric,
            metric_name=each.title,
            metric_value=each.value,
            source_name=f"MLflow run {each.run_id}",
            source_url=each.page,
        )
        for each in metadata.results
    ]
    data = ModelCardData(
        model_name=metadata.model,
        base_model=metadata.base_model,
        base_model_relation="quantized",
        license=licenses[0] if len(licenses) == 1 else licenses or None,
        library_name="onnxruntime-genai",
        pipeline_tag="text-generation",
        tags=["onnx", "onnxruntime-genai"],
        eval_results=results or None,
    )
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}"))


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
