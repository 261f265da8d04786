"""An artifact's pass over the texts that its source has read, compared with the source's."""

from collections.abc import Iterator
from pathlib import Path

from slipway.errors import SourceRefused
from slipway.evaluation import logits as logits_module
from slipway.evaluation import statistics
from slipway.evaluation.logits import Floats, Logits, ReferenceLogits
from slipway.evaluation.runtime import Runtime
from slipway.system.progress import report
from slipway.values import Fidelity, Value


class CandidateRequest(Value):
    """What to compare.

    Attributes:
        artifact: A folder that onnxruntime-genai loads.
        reading: The folder with the reference logits.
    """

    artifact: Path
    reading: Path


def compare(request: CandidateRequest) -> Fidelity:
    """Run an artifact on the token ids that its source has read, and compare both logits.

    Raises:
        SourceRefused: If the artifact has fewer tokens than the source: it is of another model.
    """
    source = logits_module.load(request.reading)
    kept = logits_module.join(_passes(Runtime(request.artifact), source))
    return statistics.fidelity(source.notes, kept, source.sequences)


def _passes(runtime: Runtime, source: ReferenceLogits) -> Iterator[Logits]:
    start, count = 0, len(source.sequences.lengths)
    for place, token_ids in enumerate(source.sequences, start=1):
        targets = logits_module.following(token_ids)
        done = 0
        for logits in runtime.logits(token_ids):
            rows = slice(done, done + len(logits))
            top_ids = source.top_ids[start + rows.start : start + rows.stop]
            yield logits_module.note(_known(logits, source.vocabulary), top_ids, targets[rows])
            done = rows.stop
        start += len(token_ids)
        report(place / count, f"compared {place} of {count} texts")


def _known(logits: Floats, vocabulary: int) -> Floats:
    """Return the columns of known tokens: source and artifact may both pad their vocabulary."""
    if logits.shape[1] < vocabulary:
        rule = f"its logits are of {logits.shape[1]} tokens, and its source has {vocabulary}"
        raise SourceRefused("model.onnx", rule, "select an artifact of the same model")
    return logits[:, :vocabulary]
