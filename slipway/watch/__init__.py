"""What changed at the sources, and what follows from it.

Comes in: entries of the catalogue, or a webhook's request. Goes out: a ``WatchResult`` for each
model, or a ``ChangeEvent`` that says where to look. ``policy`` is pure.
"""
