"""MLflow's Model Registry: versions, aliases, and the record of who changed them.

Comes in: logged models and what was decided about them. Goes out: registered versions, releases,
alias changes and the history of champions.

The registry has no compare-and-set, and its client repeats a creation whose answer was lost. So a
version is looked up by its release key before and after it is created, under a lock, and aliases
are changed by one process at a time, which records what it does (``alias_transaction``).
"""

from slipway.registry.approval import Approvals
from slipway.registry.earlier_releases import EarlierReleases
from slipway.registry.other_aliases import OtherAliases
from slipway.registry.other_registries import OtherRegistries
from slipway.registry.removal import Removals
from slipway.registry.roles import Roles
from slipway.registry.rollback import Rollbacks
from slipway.settings import Settings
from slipway.tracking.verified_copy import CopyPlace


class Registry(
    Approvals, Rollbacks, OtherAliases, OtherRegistries, Removals, EarlierReleases, Roles
):
    """The model registry at one place; see ``Lookup`` for its arguments."""


def open_registry(settings: Settings) -> Registry:
    """Return the model registry that ``settings`` name, reached."""
    return Registry(CopyPlace.of(settings), settings.home.resolve() / "locks")
