"""What each role may do, as permissions of MLflow.

MLflow checks a permission for each request, and keeps no author of an alias, a tag or a run. So
the place of a record says who made a change: promoters alone may write to ``<model>/promotions``,
and a champion that no record there explains was chosen by somebody who may not.
"""

from collections.abc import Mapping

from slipway.registry.lookup import Lookup, experiments_of
from slipway.tracking.accounts import Accounts, Resource, Role
from slipway.tracking.location import experiment_id
from slipway.values import registered_names

#: By role, MLflow's permission on what a release writes to, and on the records of champions. The
#: first is MANAGE since no lower one lets a release delete what it has not finished.
_PERMISSIONS: Mapping[Role, tuple[str, str]] = {
    "reader": ("READ", "READ"),
    "releaser": ("MANAGE", "READ"),
    "promoter": ("MANAGE", "EDIT"),
}


class Roles(Lookup):
    """Keeps MLflow's permissions as the roles have them."""

    def apply_roles(self, model: str) -> tuple[str, ...]:
        """Give each role its permissions on one model, and take back what users have otherwise.

        Makes the model's experiments, since MLflow lets whoever makes one write to it. Does nothing
        where nobody has a role, and where no administrator is signed in.

        Returns:
            A sentence for each permission that was taken back.
        """
        if not (self.has_roles and self.person and self.person.role == "admin"):
            return ()
        names = self._resources(model)
        records = f"{model}/promotions"
        accounts = Accounts(self.copies.location.uri)
        for role, (usual, on_records) in _PERMISSIONS.items():
            wanted = {place: on_records if names[place] == records else usual for place in names}
            accounts.permit(role, wanted)
        return tuple(accounts.take_back(names))

    def _resources(self, model: str) -> dict[Resource, str]:
        """Return what roles are about, with the names that people know."""
        return {("registered_model", name): name for name in registered_names(model)} | {
            ("experiment", experiment_id(self.client, name, self.location)): name
            for name in experiments_of(model)
        }
