"""How close an artifact is to the source that it was made from.

Both read the same texts, token id by token id, each in one pass: the source once, in transformers
and float32, the artifact in the runtime that will serve it. What they say of the next token is then
compared at every position: no answers are judged, and so no judge is needed.

``texts`` loads the texts, ``source`` and ``artifact`` read them, each in a child process, ``notes``
is what is kept of a reading, ``statistics`` compares, ``measure`` puts it together.
"""

from slipway.evaluation.fidelity import ReferenceReading, measure, read_source
from slipway.evaluation.texts import Text, load_texts, texts_digest

__all__ = ["ReferenceReading", "Text", "load_texts", "measure", "read_source", "texts_digest"]
