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
    """A folder that onnxruntime-genai loads, and the folder with the reference logits."""

    artifact: Path
    reading: Path


def compare(request: CandidateRequest) -> Fidelity:
    """Run an artifact on the token ids that its source has read, and compare both logits.

    Raises:
        SourceRefused: If the artifact has fewer tokens than the source: it is of another model.
    """
    runtime = Runtime(request.artifact)
    source, long = (
        logits_module.load(request.reading, name)
        for name in (logits_module.TEXTS, logits_module.LONG_TEXTS)
    )
    texts = [len(each.sequences.lengths) for each in (source, long)]
    kept = logits_module.join(_passes(runtime, source, 0, sum(texts)))
    long_kept = logits_module.join(_passes(runtime, long, texts[0], sum(texts)))
    found = statistics.fidelity(source.notes, kept, source.sequences)
    return statistics.with_long_texts(
        found, statistics.fidelity(long.notes, long_kept, long.compared)
    )


def _passes(runtime: Runtime, source: ReferenceLogits, before: int, total: int) -> Iterator[Logits]:
    """Yield the logits at the noted positions of every text; ``before`` texts are done already."""
    start, pairs = 0, zip(source.sequences, source.noted.tolist(), strict=True)
    for place, (token_ids, noted) in enumerate(pairs, start=before + 1):
        targets = logits_module.following(token_ids)
        done, first = 0, len(token_ids) - noted
        for logits in runtime.logits(token_ids):
            rows = slice(max(done, first), done + len(logits))
            if rows.start < rows.stop:
                top_ids = source.top_ids[start + rows.start - first : start + rows.stop - first]
                known = _known(logits[rows.start - done :], source.vocabulary)
                yield logits_module.note(known, top_ids, targets[rows])
            done += len(logits)
        start += noted
        report(place / total, f"compared {place} of {total} texts")


def _known(logits: Floats, vocabulary: int) -> Floats:
    """Return the columns of known tokens: source and artifact may both pad their vocabulary."""
    if logits.shape[1] < vocabulary:
        rule = f"its logits are of {logits.shape[1]} tokens, and its source has {vocabulary}"
        raise SourceRefused("model.onnx", rule, "select an artifact of the same model")
    return logits[:, :vocabulary]
