"""The wrapper makes the tokens and the texts that transformers makes, whatever the tokenizer."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import transformers

from slipway.checks import parity, tokenization
from slipway.checks.hard_texts import hard_texts
from slipway.values import Answers, CheckResult, WrapperKind
from tests.support.tokenizer_families import FAMILIES, Family

PLAIN = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
TEXTS, REVERSED, RUN = 10_000, 2_000, 16
Pair = tuple[Any, Any]


class Both(NamedTuple):
    """The wrapper, the tokenizer of transformers, and the wrapper's tokens of the hard texts."""

    wrapper: Any
    reference: Any
    token_ids: list[list[int]]


@pytest.fixture(scope="module", params=FAMILIES)
def both(
    request: pytest.FixtureRequest,
    load: Callable[..., Any],
    onnx_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Both:
    """Return the wrapper and the tokenizer of transformers, each as a release has it.

    The builder of onnxruntime-genai writes the tokenizer that transformers has loaded. MLflow does
    so too, and loads it by the name of its class.
    """
    room = tmp_path_factory.mktemp("family")
    source = FAMILIES[request.param].write(room / "source")
    artifact = shutil.copytree(onnx_folder, room / "artifact")
    loaded = transformers.AutoTokenizer.from_pretrained(source)
    loaded.save_pretrained(artifact)
    reference = getattr(transformers, type(loaded).__name__)
    wrapper = load(artifact)
    token_ids = [wrapper.encode(text) for text in hard_texts(TEXTS)]
    return Both(wrapper, reference.from_pretrained(artifact), token_ids)


def test_ten_thousand_hard_texts_have_the_same_tokens(both: Both) -> None:
    """Scripts, accents, emoji, spaces, code, markup: by hand and generated."""
    texts = [*hard_texts(TEXTS)]

    assert both.reference(texts, add_special_tokens=False)["input_ids"] == both.token_ids
    assert len(set(texts)) == TEXTS


def test_streamed_texts_are_what_transformers_decodes_at_once(both: Both) -> None:
    """In order, reversed (so that bytes are no characters), and all tokens of the vocabulary."""
    reversed_ids = [ids[::-1] for ids in both.token_ids[:REVERSED]]
    runs = [[*range(at, at + RUN)] for at in range(0, len(both.reference), RUN)]
    token_ids = [*both.token_ids, *reversed_ids, *runs]
    expected = both.reference.batch_decode(token_ids, **PLAIN)

    assert [both.wrapper.decode(ids) for ids in token_ids] == expected


def compared(wrapper: Any, reference: Any) -> tuple[CheckResult, ...]:
    """Return what the smoke test finds."""
    texts = tokenization.corpus(())

    def answers(kind: WrapperKind, model: Any) -> Answers:
        tokens = tokenization.tokens(model, kind, texts)
        unasked = {"predictions": (), "load_seconds": 0, "peak_memory_bytes": 0}
        return Answers(kind=kind, contract="chat", tokens=tokens, tokens_per_second=None, **unasked)

    pipeline = SimpleNamespace(tokenizer=reference)
    onnx = answers("onnx", SimpleNamespace(unwrap_python_model=lambda: wrapper))
    other = answers("transformers", SimpleNamespace(get_raw_model=lambda: pipeline))
    return parity.compare_tokens(onnx, other, texts)


def published(family: Family, load: Callable[..., Any], onnx_folder: Path, room: Path) -> Pair:
    """Return the wrapper of an artifact with the source's own file, and transformers' tokenizer."""
    source = family.write(room / "source")
    artifact = shutil.copytree(onnx_folder, room / "artifact")
    shutil.copy(source / "tokenizer.json", artifact)
    return load(artifact), transformers.AutoTokenizer.from_pretrained(source)


def test_the_smoke_test_says_what_it_compared(
    load: Callable[..., Any], onnx_folder: Path, tmp_path: Path
) -> None:
    """All texts, these backwards, and the vocabulary."""
    checks = compared(*published(FAMILIES["byte fallback"], load, onnx_folder, tmp_path))

    assert [check.passed for check in checks] == [True, True]
    assert [check.observed for check in checks] == [
        "1,000 texts",
        "2,073 sequences of tokens, with all of the vocabulary",
    ]


def test_a_published_tokenizer_that_transformers_reads_otherwise_is_named(
    load: Callable[..., Any], onnx_folder: Path, tmp_path: Path
) -> None:
    """LlamaTokenizer puts no second space before a space, and the file's own pipeline does."""
    checks = compared(*published(FAMILIES["merges across words"], load, onnx_folder, tmp_path))

    assert checks[0].passed is False
    assert checks[0].severity == "critical"
    assert checks[0].observed.startswith("' ': position 0: onnx has ")
    assert checks[0].observed.endswith(" of 1,000 texts differ)")
