"""MLflow runs and logged models.

Comes in: artifacts, figures and documents of a release. Goes out: logged models, runs that people
read, and the same values read back. All tag names stand in ``tags``; ``tag_values`` writes and
reads typed values, and ``format_1`` reads what earlier versions wrote.
"""
