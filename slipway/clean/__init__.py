"""What nothing needs any more is deleted: versions, logged models, caches, logs, results.

Comes in: what there is, and the rules of catalogue and settings. Goes out: what becomes of each,
and the deletions. ``decision`` alone decides, so a dry run lists exactly what a run deletes.
"""
