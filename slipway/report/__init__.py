"""The report of a release, which people read in MLflow's and Prefect's pages.

``markdown`` is the whole of it and ``description`` its short form; ``picture`` draws what both are
about. ``metrics`` and ``predictions`` hold the same facts for MLflow's tables, and ``figures_of``
reads the figures out of them again. Everything is made from one ``Dossier``; nothing is read or
written.
"""

from slipway.report.document import description, markdown
from slipway.report.drawing import picture
from slipway.report.figures import figures_of, median_latency_ms, metrics, trial_metrics
from slipway.report.replies import predictions
from slipway.report.standing import Standing, standing

__all__ = [
    "Standing",
    "description",
    "figures_of",
    "markdown",
    "median_latency_ms",
    "metrics",
    "picture",
    "predictions",
    "standing",
    "trial_metrics",
]
