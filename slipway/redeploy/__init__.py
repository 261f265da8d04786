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

from slipway.redeploy.compare import compare
from slipway.redeploy.deployment import Deployment, deploy
from slipway.redeploy.golden_prompts import GoldenPrompts
from slipway.redeploy.values import (
    Deploy,
    DeployRejected,
    NoChange,
    RedeployDecision,
    Redeployed,
    Redeployment,
    Reject,
    Serving,
    Switch,
    SwitchResult,
    Unchanged,
    Wanted,
)

__all__ = [
    "Deploy",
    "DeployRejected",
    "Deployment",
    "GoldenPrompts",
    "NoChange",
    "RedeployDecision",
    "Redeployed",
    "Redeployment",
    "Reject",
    "Serving",
    "Switch",
    "SwitchResult",
    "Unchanged",
    "Wanted",
    "compare",
    "deploy",
]
