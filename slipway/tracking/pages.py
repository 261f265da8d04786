"""Addresses of pages in MLflow's UI, which begin at the address of its server.

MLflow 3.17 opens in a mode for GenAI applications, without the model registry, unless an address
says otherwise: pages of a version and of a run read the mode from the query behind ``#``.
"""

_MODE = "?workflowType=machine_learning"


def models(server: str) -> str:
    """Return the page that lists the registered models."""
    return f"{server}/#/models"


def version(server: str, model: str, number: int) -> str:
    """Return the page of a registered version."""
    return f"{server}/#/models/{model}/versions/{number}{_MODE}"


def run(server: str, experiment_id: str, run_id: str) -> str:
    """Return the page of a run."""
    return f"{server}/#/experiments/{experiment_id}/runs/{run_id}{_MODE}"
