"""What people read of a release: its report, its plot, its answers, a comparison, a plan.

A ``ReleaseSummary`` comes in; ``document`` makes the Markdown report and its short form from one
template, ``plot`` the plot, ``answers`` the table of predictions. ``comparison`` compares two
releases, ``plan`` tells what a release would do, and ``card`` is the model card of a version.
"""
