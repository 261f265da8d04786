"""Redeploys: the served version follows the alias ``champion``, and no request fails.

::

    compare ──▶ NoChange(reason)
            ──▶ Reject(version, reason) ───────────▶ the alias returns, DeployRejected
            ──▶ Deploy(version) ──▶ preflight ──▶ switch ──▶ Redeployed
                                    └── any fault ──▶ quarantine, the alias returns, DeployRejected

In: a ``Deployment``, which says where a model is served, and the registry's champion. Out: a
``RedeployDecision`` and a ``SwitchResult`` for each step. ``flows/redeploy.py`` has their order.
"""
