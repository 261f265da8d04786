"""What the last poll of a model's source saw, kept as a tag of the model's experiment."""

from pydantic import ValidationError

from slipway.tracking.location import MlflowLocation, connect, experiment_id
from slipway.tracking.tags import LAST_SEEN
from slipway.values import LastSeen

_LONGEST_TAG = 5000  # characters; what every database behind MLflow takes


def last_seen(model: str, place: MlflowLocation) -> LastSeen | None:
    """Return what the last look at the model's source saw; None if there was none."""
    import mlflow

    connect(place)
    found = mlflow.get_experiment_by_name(model)
    text = found.tags.get(LAST_SEEN) if found else None
    try:
        return LastSeen.model_validate_json(text) if text else None
    except ValidationError:  # of another release of this program, or a person's
        return None


def remember(model: str, seen: LastSeen, place: MlflowLocation) -> None:
    """Remember ``seen`` for the next look; what is too long is looked at anew each time."""
    import mlflow

    connect(place)
    text = seen.model_dump_json()
    if len(text) <= _LONGEST_TAG:
        mlflow.MlflowClient().set_experiment_tag(experiment_id(model, place), LAST_SEEN, text)
