"""What the answers of a registered model must satisfy.

Comes in: a registered version and the smoke prompts. Goes out: its answers, the results of the
Great Expectations suites, and two comparisons: with the other wrapper (parity) and with the
champion (regressions).
"""
