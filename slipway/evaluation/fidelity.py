"""The two measurements as a caller sees them: each heavy part in a child process of its own."""

import re
from collections.abc import Callable
from pathlib import Path

import psutil

from slipway import keys
from slipway.errors import MachineTooSmall, SlipwayError
from slipway.evaluation import candidate as artifacts
from slipway.evaluation import logits, reference
from slipway.evaluation.runtime import unmeasurable
from slipway.evaluation.texts import Text, texts_digest
from slipway.system import process
from slipway.system.progress import Progress
from slipway.system.workspace import Workspace
from slipway.values import Artifact, Fidelity, Stored, Value, Weights

#: Of a source in float32, with what a pass over a text takes besides.
_BYTES_PER_PARAMETER = 4.5


class ReferenceReading(Value):
    """A source's pass over the texts, kept in the store.

    Attributes:
        stored: The notes.
        texts: How many texts were read, conversations included.
        tokens: How many tokens they are, the source's own answers included.
    """

    stored: Stored
    texts: int
    tokens: int


def read_source(
    weights: Weights, texts: tuple[Text, ...], workspace: Workspace
) -> ReferenceReading:
    """Return what the source says of the texts, read unless the store has it.

    Raises:
        MachineTooSmall: If the source does not fit into memory in float32.
        SourceRefused: If the source's tokenizer or weights cannot be used.
        StepFailed: If the pass crashed, hung or was ended for memory.
    """

    def fill(into: Path) -> None:
        _require_memory(weights, workspace.limits)
        request = reference.ReferenceRequest(weights=weights.stored.folder, texts=texts, into=into)
        listen = reader(workspace.progress)
        process.call(reference.read, request, workspace.limits, step="read source", on_line=listen)

    key = keys.reading_key(weights, texts_digest(texts), workspace.tools)
    stored = workspace.store.make(key, fill)
    sequences = logits.load_sequences(stored.folder)
    count, tokens = len(sequences.lengths), len(sequences.token_ids)
    workspace.progress(1.0, f"{tokens:,} tokens of {count} texts")
    return ReferenceReading(stored=stored, texts=count, tokens=tokens)


def measure(artifact: Artifact, reading: ReferenceReading, workspace: Workspace) -> Fidelity | str:
    """Return how close an artifact is to its source, or in one line why that is not known."""
    if reason := unmeasurable(artifact):
        return reason
    request = artifacts.CandidateRequest(
        artifact=artifact.stored.folder, reading=reading.stored.folder
    )
    listen = reader(workspace.progress)
    try:
        outcome = process.call(
            artifacts.compare, request, workspace.limits, step="compare", on_line=listen
        )
    except SlipwayError as error:
        return str(error)
    return outcome.value


def _require_memory(weights: Weights, limits: process.ProcessLimits) -> None:
    needed_bytes = int(weights.parameters * _BYTES_PER_PARAMETER)
    free_bytes = limits.memory_bytes or psutil.virtual_memory().available
    if needed_bytes > free_bytes:
        raise MachineTooSmall("reading the source", "memory", needed_bytes, free_bytes)


def reader(progress: Progress) -> Callable[[str], None]:
    """Return what turns a child's lines into progress."""

    def read(line: str) -> None:
        if found := re.fullmatch(r"\w+ (\d+) of (\d+) texts", line):
            progress(int(found[1]) / int(found[2]), line)

    return read
