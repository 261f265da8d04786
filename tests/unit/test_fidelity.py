"""A source's pass over the texts is kept once, and artifacts are compared with it in one pass."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slipway.errors import MachineTooSmall, SourceRefused
from slipway.evaluation import candidate, logits, reference
from slipway.evaluation.fidelity import ReferenceReading, measure, read_source
from slipway.evaluation.runtime import Runtime
from slipway.evaluation.texts import load_texts
from slipway.settings import PROJECT
from slipway.sources.lengths import Lengths
from slipway.system.process import ProcessLimits
from slipway.values import Fidelity, PromptMessage, Text
from tests.support.measured_values import artifact_of, weights_of, workspace_of
from tests.support.tiny_phi3 import CONTEXT_LENGTH, CONVERSATIONS, build_onnx

GENERAL = PROJECT / "expectations" / "texts" / "general"


def asked(question: str) -> Text:
    """Return a conversation of one question."""
    return Text(group="chat", messages=(PromptMessage(role="user", content=question),))


TEXTS = (
    Text(group="known", content=" ".join(CONVERSATIONS.values())),
    *map(asked, CONVERSATIONS),
    *map(asked, ("Name a ship.", "What is tired?", "Tell me the capital of the waves.", "Count!")),
    Text(group="long", content="The capital of the harbour is tired of waves. " * 80),
)


@pytest.fixture(scope="module")
def reading(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the notes of the tiny model's own pass."""
    folder = tmp_path_factory.mktemp("reading")
    reference.read(reference.ReferenceRequest(weights=checkpoint, texts=TEXTS, into=folder))
    return folder


@pytest.fixture(scope="module")
def int4(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tiny model in int4, which changes what it says."""
    return build_onnx(checkpoint, tmp_path_factory.mktemp("int4"), "int4")


def compared(folder: Path, reading: Path) -> Fidelity:
    """Compare in this process."""
    return candidate.compare(candidate.CandidateRequest(artifact=folder, reading=reading))


def test_a_source_is_read_once_and_any_artifact_is_compared_with_it(
    checkpoint: Path, int4: Path, limits: ProcessLimits
) -> None:
    """In child processes: the reading is found in the store by whoever asks again."""
    heard: list[tuple[float | None, str]] = []
    workspace = replace(
        workspace_of(limits), progress=lambda share, text: heard.append((share, text))
    )
    weights = weights_of(checkpoint)

    first = read_source(weights, TEXTS, workspace)
    again = read_source(weights, TEXTS, workspace)
    found = measure(artifact_of(int4, "cpu-int4-rtn-block-32"), first, workspace)

    logs = [log.name.partition("-2")[0] for log in limits.logs.iterdir()]
    assert sorted(logs) == ["compare", "read-source"]
    assert first == again
    assert isinstance(found, Fidelity)
    assert (first.texts, first.tokens) == (len(TEXTS), found.tokens)
    every = len(TEXTS) + 1  # with the text that ends with the context
    assert (pytest.approx(2 / every), f"read 2 of {every} texts") in heard
    assert heard[-1] == (1.0, f"compared {every} of {every} texts")


def test_other_texts_tools_or_weights_are_another_reading(checkpoint: Path) -> None:
    """The source's own files decide, not where they lie or when they came."""
    from slipway.keys import reading_key

    weights, tools = weights_of(checkpoint), {"torch": "1", "transformers": "1", "mlflow": "1"}
    other = weights.model_copy(
        update={"stored": weights.stored.model_copy(update={"files": weights.stored.files[1:]})}
    )

    keys = [
        reading_key(weights, "a", tools),
        reading_key(weights, "b", tools),
        reading_key(weights, "a", tools | {"torch": "2"}),
        reading_key(other, "a", tools),
    ]

    assert len(set(keys)) == len(keys)
    assert reading_key(weights, "a", tools | {"mlflow": "2"}) == keys[0]


def test_a_source_that_does_not_fit_into_memory_is_not_begun(
    checkpoint: Path, limits: ProcessLimits
) -> None:
    """It is known beforehand, and no process is started for it."""
    workspace = workspace_of(replace(limits, memory_bytes=400_000))

    with pytest.raises(MachineTooSmall, match="reading the source needs 0"):
        read_source(weights_of(checkpoint), TEXTS, workspace)

    assert not limits.logs.exists()


def test_an_fp32_build_is_its_source(built: Path, reading: Path) -> None:
    """Every figure is at its best but for the last digits."""
    found = compared(built, reading)

    answers = [length for text in notes_of(reading) if (length := _answer_length(text))]
    assert found.broken == 0
    assert found.kl_mean is not None
    assert found.perplexity_ratio is not None
    assert found.first_divergence_tokens is not None
    assert found.kl_mean.value <= 1e-6
    assert found.perplexity_ratio.value == pytest.approx(1, abs=1e-4)
    assert found.first_divergence_tokens.value == pytest.approx(np.mean(answers))
    assert set(found.kl_by_group) == {"chat", "known", "long", "512 of 512 tokens"}


def test_a_coarser_build_is_farther_from_its_source(int4: Path, reading: Path) -> None:
    """And what it says of logits that the runtime gives is what whole rows say."""
    found = compared(int4, reading)

    assert found.kl_mean is not None
    assert found.kl_p99 is not None
    assert found.top1_agreement is not None
    assert 1e-4 < found.kl_mean.low < found.kl_mean.value < found.kl_mean.high < found.kl_p99.value
    assert 0.5 < found.top1_agreement.value < 1


def test_the_first_divergence_is_where_greedy_decoding_parts(
    int4: Path, reading: Path, tmp_path: Path
) -> None:
    """One pass over the source's answer finds it, without decoding a single token."""
    runtime, kept = Runtime(int4), notes_of(reading)
    counts = [
        _common(_greedy(runtime, tokens[:start], len(tokens) - start), tokens[start:])
        for tokens, start in kept
        if start < len(tokens)
    ]
    answers = [length for text in kept if (length := _answer_length(text))]

    found = compared(int4, reading).first_divergence_tokens

    assert counts != answers  # some do part
    assert found is not None
    assert found.value == pytest.approx(np.mean(counts))


def test_a_text_is_cut_to_the_context_with_room_for_an_answer(reading: Path) -> None:
    """What was cut off is not counted either."""
    kept = notes_of(reading)

    assert len(kept[-1][0]) == CONTEXT_LENGTH
    assert logits.load_sequences(reading).token_ids.size == sum(len(each) for each, _ in kept)


def test_a_source_answers_what_it_was_asked(reading: Path, checkpoint: Path) -> None:
    """In its own chat's form, and to the token that ends an answer."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)

    tokens, start = notes_of(reading)[1]

    assert tokenizer.decode(tokens[:start]).endswith("<|assistant|>\n")
    assert tokenizer.decode(tokens[start:]) == "The capital of Spain is Madrid.<|end|>"


def test_a_source_without_a_chat_template_reads_the_words_alone(
    checkpoint: Path, tmp_path: Path
) -> None:
    """A base model was never taught how a conversation looks."""
    shutil.copytree(checkpoint, tmp_path / "base")
    (tmp_path / "base" / "chat_template.jinja").unlink()
    (tmp_path / "notes").mkdir()

    texts = (asked("Count to ten."),)
    reference.read(
        reference.ReferenceRequest(weights=tmp_path / "base", texts=texts, into=tmp_path / "notes")
    )

    [(tokens, start)] = notes_of(tmp_path / "notes")
    assert 0 < start < len(tokens)
    assert not set(range(6)) & set(tokens[:start].tolist())  # no special token


def test_logits_that_are_not_numbers_leave_no_figure(
    built: Path, reading: Path, tmp_path: Path
) -> None:
    """A graph may load and run on damaged weights, and say nothing at all."""
    shutil.copytree(built, tmp_path / "broken")
    data = tmp_path / "broken" / "model.onnx.data"
    data.write_bytes(b"\xff" * data.stat().st_size)

    found = compared(tmp_path / "broken", reading)

    assert found.broken > 0
    assert found.kl_mean is found.top1_agreement is found.first_divergence_tokens is None


def test_an_artifact_of_another_model_is_refused(
    built: Path, checkpoint: Path, reading: Path, limits: ProcessLimits, tmp_path: Path
) -> None:
    """Its logits are of fewer tokens than its source has; the reason is one line."""
    kept = logits.load(reading)
    shutil.copytree(reading, tmp_path / "other")
    logits.write(tmp_path / "other", replace(kept, vocabulary=400))
    stored = weights_of(checkpoint).stored.model_copy(update={"folder": tmp_path / "other"})

    found = measure(
        artifact_of(built), ReferenceReading(stored=stored, texts=1, tokens=1), workspace_of(limits)
    )

    assert found == (
        "model.onnx: its logits are of 320 tokens, and its source has 400; "
        "select an artifact of the same model"
    )


def test_a_tokenizer_of_another_model_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    """It gives tokens that the model does not have."""
    shutil.copytree(checkpoint, tmp_path / "other")
    path = tmp_path / "other" / "tokenizer.json"
    known = json.loads(path.read_bytes())
    known["model"]["vocab"] = {
        token: number + (100 if number > 200 else 0)
        for token, number in known["model"]["vocab"].items()
    }
    path.write_text(json.dumps(known), encoding="utf-8")

    request = reference.ReferenceRequest(weights=tmp_path / "other", texts=TEXTS, into=tmp_path)
    with pytest.raises(SourceRefused, match=r"it gives token 3[2-9][0-9], and the model has 320"):
        reference.read(request)


def test_the_general_texts_fit_any_context(checkpoint: Path, tmp_path: Path) -> None:
    """Cut to it, so that the smallest model is measured on the same kinds as the largest."""
    config = json.loads((checkpoint / "config.json").read_bytes())
    shutil.copytree(checkpoint, tmp_path / "small")
    small = json.dumps(config | {"max_position_embeddings": 64})
    (tmp_path / "small" / "config.json").write_text(small, encoding="utf-8")

    texts = load_texts(GENERAL)
    reference.read(
        reference.ReferenceRequest(weights=tmp_path / "small", texts=texts, into=tmp_path)
    )

    lengths = logits.load_sequences(tmp_path).lengths
    assert len(lengths) == len(texts)
    assert lengths.max() == 64


@pytest.mark.parametrize(
    ("context", "window", "switch", "parameters", "expected"),
    [
        (8192, None, None, 134_515_008, (2081,)),  # SmolLM2 135M: near the end as time allows
        (2048, None, None, 134_515_008, (2048,)),
        (131_072, None, 4096, 3_800_000_000, (512, 4352)),  # Phi-4 mini
        (4096, 2047, None, 3_800_000_000, (512, 2303)),  # Phi-3 mini 4k
        (400, 300, None, 100_000, (400,)),
    ],
)
def test_a_long_text_is_beyond_each_limit_and_near_the_contexts_end(
    context: int, window: int | None, switch: int | None, parameters: int, expected: Any
) -> None:
    """Whatever a limit costs, and the context's end as far as the time allows."""
    found = Lengths(context=context, window=window, windowed=(), rope_switch=switch)

    assert reference.long_lengths(found, parameters) == expected


def notes_of(folder: Path) -> list[tuple[Any, int]]:
    """Return the token ids of every text, and where the source's answer begins."""
    sequences = logits.load_sequences(folder)
    return list(zip(sequences, sequences.asked.tolist(), strict=True))


def _answer_length(text: tuple[Any, int]) -> int:
    return len(text[0]) - text[1]


def _greedy(runtime: Runtime, prompt: Any, count: int) -> list[int]:
    generator = runtime.generator(len(prompt) + count, min_length=0)
    generator.append_tokens(prompt)
    for _ in range(count):
        if not generator.is_done():
            generator.generate_next_token()
    return [int(token) for token in generator.get_sequence(0)[len(prompt) :]]


def _common(found: list[int], expected: Any) -> int:
    pairs = zip(found, expected.tolist(), strict=False)
    return next((at for at, (one, two) in enumerate(pairs) if one != two), len(expected))
