"""The report of a release: one value in, the documents that people read in MLflow and Prefect out.

Comes in: a ``ReleaseSummary``. Goes out: the Markdown report, its short form for the registry's page,
the plot, and the table of answers. Nothing is read or written here.
"""

from slipway.report.document import description, markdown
from slipway.report.drawing import picture
from slipway.report.replies import predictions

__all__ = ["description", "markdown", "picture", "predictions"]
