"""Slipway releases small language models: from the Hugging Face Hub to a served, promoted version.

This package is the core. It does not know Prefect: ``tasks`` wraps its functions as tasks,
``flows`` orders them, ``commands`` is the command line, ``deployments`` runs all on a machine.
Values from ``slipway.values`` come in and go out; ``slipway.errors`` has every error.
"""
