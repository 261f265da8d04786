"""How close an artifact is to its source, how fast it is, and whether it may be promoted.

Comes in: artifacts, their weights, and the limits of the gates. Goes out: an ``Evaluation`` for
each artifact, the ``Selection`` of one, and the ``Decision`` about its promotion.

For ``fidelity`` both models read the same texts once, token by token: the source in transformers
and float32, the artifact in the runtime that will serve it. ``statistics`` compares the
probabilities of the next token at every position. No answers are judged, so no judge is needed.
"""
