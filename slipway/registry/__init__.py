"""The adapter of MLflow's Model Registry: versions, aliases, and the record of promotions.

The registry has no compare-and-set, and its client repeats a creation whose answer was lost. So a
version is looked up by its release key before and after it is created, under a lock, and aliases
are moved by one mover at a time, which writes down what it does, and reads it back.

``lookup`` reads, ``registration`` adds versions, ``transfer`` moves aliases as a whole and keeps
the record; ``promotion``, ``approval`` and ``rollback`` say which; ``memory`` tells the history.
"""

from slipway.registry.approval import Approvals
from slipway.registry.names import registered_name
from slipway.registry.record import Records
from slipway.registry.rollback import Rollbacks
from slipway.settings import Settings
from slipway.tracking.location import mlflow_location


class Registry(Approvals, Rollbacks, Records):
    """The model registry at one place.

    Args:
        place: Address of tracking store and registry.
        locks: Folder for the locks that make its changes one at a time.
    """


def open_registry(settings: Settings) -> Registry:
    """Return the model registry that ``settings`` name, reached."""
    return Registry(mlflow_location(settings), settings.home.resolve() / "locks")


__all__ = ["Registry", "open_registry", "registered_name"]
