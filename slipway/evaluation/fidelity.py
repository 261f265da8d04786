"""How close artifacts are to their source; each model runs in a child process of its own."""

from pathlib import Path

from slipway import keys
from slipway.errors import SlipwayError
from slipway.evaluation import candidate, logits, reference
from slipway.evaluation.runtime import unmeasurable
from slipway.evaluation.texts import texts_digest
from slipway.system.call import call
from slipway.system.workspace import Workspace
from slipway.values import Artifact, Fidelity, Stored, Text, Value, Weights

#: Memory of a source in float32, including a pass over a text.
_BYTES_PER_PARAMETER = 4.5


class ReferenceReading(Value):
    """A source's logits, and the count of texts and tokens, with conversations and its answers."""

    stored: Stored
    texts: int
    tokens: int


def read_source(
    weights: Weights, texts: tuple[Text, ...], workspace: Workspace
) -> ReferenceReading:
    """Return the source's logits on the texts, computed unless the store has them.

    Raises:
        MachineTooSmall: If the source does not fit into memory in float32.
    """

    def fill(into: Path) -> None:
        needed_bytes = int(weights.parameters * _BYTES_PER_PARAMETER)
        workspace.require_memory("reading the source", needed_bytes)
        request = reference.ReferenceRequest(weights=weights.stored.folder, texts=texts, into=into)
        call(
            reference.read,
            request,
            workspace.limits,
            step="read source",
            progress=workspace.progress,
        )

    key = keys.reading_key(weights, texts_digest(texts), workspace.tools)
    stored = workspace.store.make(key, fill)
    sequences = logits.load_sequences(stored.folder)
    count, tokens = len(sequences.lengths), len(sequences.token_ids)
    workspace.progress(1.0, f"{tokens:,} tokens of {count} texts")
    return ReferenceReading(stored=stored, texts=count, tokens=tokens)


def measure(artifact: Artifact, reading: ReferenceReading, workspace: Workspace) -> Fidelity | str:
    """Return how close an artifact is to its source, or in one line why that is unknown."""
    if reason := unmeasurable(artifact):
        return reason
    request = candidate.CandidateRequest(
        artifact=artifact.stored.folder, reading=reading.stored.folder
    )
    try:
        return call(
            candidate.compare,
            request,
            workspace.limits,
            step="compare",
            progress=workspace.progress,
        ).value
    except SlipwayError as error:
        return error.brief
