"""Redeploys: what serves follows the alias ``champion``, and nobody who asks it notices.

::

    compare ──▶ Leave(reason)                        nothing to do
            ──▶ Refuse(version, reason) ──▶ put_back   the alias returns to what serves
            ──▶ Try(version) ──▶ rehearse ──▶ switch ──▶ Redeployed
                                    └── any fault ──▶ put_back, quarantine

``decide`` is pure; ``server`` and ``trial`` speak to model servers, ``rolling`` and ``haproxy`` are
two ways to switch; ``dock`` is what a model's redeploy needs to know, and the steps in their order
are ``flows/redeploy.py``.
"""

from slipway.redeploy.decide import decide
from slipway.redeploy.dock import Dock, attempt
from slipway.redeploy.golden import Golden
from slipway.redeploy.values import (
    Attempt,
    Decision,
    Leave,
    Redeployed,
    Redeployment,
    Refuse,
    Refused,
    Serving,
    Switch,
    Try,
    Unchanged,
    Wanted,
)

__all__ = [
    "Attempt",
    "Decision",
    "Dock",
    "Golden",
    "Leave",
    "Redeployed",
    "Redeployment",
    "Refuse",
    "Refused",
    "Serving",
    "Switch",
    "Try",
    "Unchanged",
    "Wanted",
    "attempt",
    "decide",
]
