"""What the last poll of a model's source returned, as tags of the model's experiment."""

from pydantic import ValidationError

from slipway.tracking import format_1
from slipway.tracking.location import MlflowLocation, connect, experiment_id
from slipway.tracking.tags import CURRENT_FORMAT, FORMAT, LAST_SEEN
from slipway.values import LastSeen

_LONGEST_TAG = 5000  # characters; what every database behind MLflow takes


def last_seen(model: str, location: MlflowLocation) -> LastSeen | None:
    """Return what the last poll of the model's source returned; None if there was none."""
    found = connect(location).get_experiment_by_name(model)
    if found is None or LAST_SEEN not in found.tags:
        return None
    try:
        return LastSeen.model_validate_json(format_1.upgrade(found.tags)[LAST_SEEN])
    except (ValueError, KeyError, ValidationError):  # of a later format, or a person's
        return None


def remember(model: str, seen: LastSeen, location: MlflowLocation) -> None:
    """Remember ``seen`` for the next poll; what is too long is resolved anew each time."""
    client, text = connect(location), seen.model_dump_json()
    if len(text) <= _LONGEST_TAG:
        experiment = experiment_id(client, model, location)
        for tag, value in {LAST_SEEN: text, FORMAT: CURRENT_FORMAT}.items():
            client.set_experiment_tag(experiment, tag, value)
