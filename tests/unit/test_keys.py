"""Two things with the same key are the same thing, and everything that matters is in it."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from slipway import keys
from slipway.values import (
    BuildResult,
    Calibration,
    Entry,
    FileEntry,
    FolderSource,
    GateLimits,
    Gates,
    PackageSource,
    Published,
    Quantization,
    QuantizeRecipe,
    Revision,
    SearchRecipe,
    SelectRecipe,
    Stored,
    TaskLimits,
    Text,
    Wrappers,
)
from tests.support import summaries

TOOLS = {"onnxruntime-genai": "0.18.0", "torch": "2.13.0"}
SHIPPED = {"wrapper": "aa" * 32, "suites": "bb" * 32}
FP32_INT8_KEYS = ["54d4ed50fe104b32", "c64fe3b83462270c"]
SEARCH_RELEASE_KEY = "9e6582bd4d71d52a"
INT4, INT8 = Quantization(precision="int4"), Quantization(precision="int8")
PACKAGE = PackageSource(package="tiny", file="tiny/model.gguf", repo="acme/tiny")
FOLDER = FolderSource(path=Path("tiny"), repo="acme/tiny")


def revision(**changes: Any) -> Revision:
    """Return what the source of the entry names, with ``changes``."""
    return summaries.weights().revision.model_copy(update=changes)


def published(**changes: Any) -> Published:
    """Return a ready artifact of the Hub, with ``changes``."""
    fields = {
        "repo": "acme/tiny-onnx",
        "commit": "12" * 20,
        "endpoint": None,
        "folder": "cpu-int4",
        "paths": ("cpu-int4/model.onnx",),
        "size_bytes": 1,
        "files_digest": "34" * 32,
    }
    return Published(**fields | changes)


def release_key(entry: Entry | None = None, **changes: Any) -> str:
    """Return the key of a release, with ``changes`` to what it is made of."""
    parts: dict[str, Any] = {"revision": revision(), "tools": TOOLS, "shipped": SHIPPED}
    return keys.release_key(entry or summaries.entry(), **parts | changes)


def test_the_same_inputs_give_the_same_key() -> None:
    """In whatever order tools and shipped files are listed."""
    turned = dict(reversed(TOOLS.items())), dict(reversed(SHIPPED.items()))

    assert release_key(tools=turned[0], shipped=turned[1]) == release_key()
    assert len(release_key()) == 64


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "Another name for people"},
        {"schedule": "0 3 * * 1"},
        {"source": summaries.entry().source.model_copy(update={"ref": "v1"})},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_changes_no_byte_changes_no_key(changes: dict[str, Any]) -> None:
    """A new title, another hour, another name for the same commit are no new release."""
    assert release_key(summaries.entry(**changes)) == release_key()


@pytest.mark.parametrize(
    "changes",
    [
        {"entry": summaries.entry(name="another")},
        {"entry": summaries.entry(recipe=QuantizeRecipe(candidates=(INT4,)))},
        {"entry": summaries.entry(wrappers=Wrappers(onnx="chat"))},
        {"entry": summaries.entry(suite="another")},
        {"entry": summaries.entry(gates=Gates(kl_mean=GateLimits(max=1)))},
        {"entry": summaries.entry(tasks={"everyday": TaskLimits(margin=0.05)})},
        {"entry": summaries.entry(aliases="candidate")},
        {"entry": summaries.entry(licenses=("apache-2.0", "mit"))},
        {"revision": revision(digest="cd" * 32)},
        {"revision": revision(source=FOLDER)},
        {"tools": TOOLS | {"torch": "2.14.0"}},
        {"tools": {}},
        {"shipped": SHIPPED | {"wrapper": "cc" * 32}},
    ],
)
def test_what_shapes_or_tests_the_bytes_is_part_of_the_key(changes: dict[str, Any]) -> None:
    """Every other field of the entry, weights, tools, and what is shipped or asked."""
    assert release_key(**changes) != release_key()


def test_a_commit_that_only_changes_the_card_is_no_new_release() -> None:
    """The files that are used have the same digest, so nothing has to be built or fetched."""
    later = revision(commit="34" * 20)

    assert release_key(revision=later) == release_key()
    assert keys.weights_key(later, TOOLS) == keys.weights_key(revision(), TOOLS)


def test_the_recipe_number_makes_older_results_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raised by a programmer, it changes every key."""
    built = BuildResult(variant="cpu-int8", precision="int8", artifact=None, reason="no memory")

    def all_keys() -> list[str]:
        return [
            keys.weights_key(revision(), TOOLS),
            keys.artifact_key("weights-1", revision(), INT8, TOOLS),
            keys.reading_key(summaries.weights(), "aa", TOOLS),
            keys.evaluations_key(summaries.weights(), [built], "aa", 3, TOOLS),
            release_key(),
        ]

    before = all_keys()
    for name in keys.RECIPES:
        monkeypatch.setitem(keys.RECIPES, name, 99)

    assert not set(before) & set(all_keys())


@pytest.mark.parametrize(
    ("source", "same"),
    [
        pytest.param(summaries.entry().source, True, id="hub"),
        pytest.param(FOLDER, True, id="folder"),
        pytest.param(PACKAGE, False, id="package"),
    ],
)
def test_weights_depend_on_tools_only_where_tools_make_them(source: Any, same: bool) -> None:
    """What is copied as it is stays; what is dequantized here may differ with another torch."""
    asked = revision(source=source)

    now, later = (keys.weights_key(asked, {"torch": version}) for version in ("2.13.0", "2.14.0"))

    assert (now == later) is same


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("weights", keys.weights_key(revision(), TOOLS)),
        ("artifact", keys.artifact_key("weights-1", revision(), INT8, TOOLS)),
    ],
)
def test_a_key_is_readable_and_fit_for_a_folders_name(kind: str, key: str) -> None:
    """It begins with what it is and whose, and holds no slash."""
    assert re.fullmatch(f"{kind}-huggingfacetb--smollm2-135m-instruct-[0-9a-f]{{16}}", key)


def test_an_artifact_that_is_built_depends_on_weights_recipe_and_tools() -> None:
    """Each of the three makes another folder in the store."""
    built = [
        keys.artifact_key("weights-1", revision(), INT8, TOOLS),
        keys.artifact_key("weights-2", revision(), INT8, TOOLS),
        keys.artifact_key("weights-1", revision(), Quantization(precision="int4"), TOOLS),
        keys.artifact_key("weights-1", revision(), INT8, TOOLS | {"torch": "2.14.0"}),
    ]

    assert len(set(built)) == len(built)


def test_fields_that_are_not_used_change_no_key() -> None:
    """These keys were computed by the version before the fields; tied bytes have another."""
    fp32 = Quantization(precision="fp32")
    floats, tied = (INT8.for_checkpoint(tied=tied) for tied in (False, True))

    before = [keys.artifact_key("weights-1", revision(), each, TOOLS) for each in (fp32, floats)]

    assert [key[-16:] for key in before] == FP32_INT8_KEYS
    assert keys.artifact_key("weights-1", revision(), tied, TOOLS) not in before


def test_what_is_calibrated_depends_on_its_texts_and_nothing_else_does() -> None:
    """Neither artifacts that are rounded, nor a search without calibration."""
    first, second = (
        Calibration(texts=(Text(group="prose", content=content),)) for content in ("One.", "Two.")
    )
    gptq = Quantization(precision="int4", method="gptq")

    def artifact(made_of: Quantization, texts: Calibration | None) -> str:
        return keys.artifact_key("weights-1", revision(), made_of, TOOLS, texts)

    assert artifact(INT8, first) == artifact(INT8, None)
    assert len({artifact(gptq, first), artifact(gptq, second), artifact(INT4, first)}) == 3
    rounded, calibrated = (
        summaries.entry(recipe=SearchRecipe(max_kl=0.1, method=method))
        for method in ("rtn", "gptq")
    )
    assert release_key(calibrated) != release_key(rounded)
    assert release_key(rounded)[:16] == SEARCH_RELEASE_KEY, "as before the method"


def test_the_release_of_a_default_recipe_is_another_one_than_with_float_embeddings() -> None:
    """Its bytes may be: the checkpoint decides."""
    floats = INT8.model_copy(update={"embeddings": "float"})
    entries = [
        summaries.entry(recipe=QuantizeRecipe(candidates=(each,))) for each in (INT8, floats)
    ]

    assert len({release_key(each) for each in entries}) == 2


def test_an_artifact_that_is_fetched_depends_on_what_is_fetched_alone() -> None:
    """Neither tools nor the reference's weights change what somebody else published."""

    def key(weights: str = "weights-1", tools: dict[str, str] = TOOLS, **changes: Any) -> str:
        pinned = revision(published=(published(**changes),))
        return keys.artifact_key(weights, pinned, pinned.published[0], tools)

    assert key() == key("weights-2", {})
    assert len({key(), key(commit="56" * 20), key(folder="cpu-int8")}) == 3


def test_the_builds_of_a_recipe_are_those_of_its_candidates() -> None:
    """Weights, candidates and tools count; which of them is preferred does not."""
    weights, moved = summaries.weights(), summaries.weights(digest="cd" * 32)
    recipe = QuantizeRecipe(candidates=(INT8,))
    others = [
        keys.builds_key(weights, QuantizeRecipe(candidates=(INT4,)), TOOLS),
        keys.builds_key(weights, QuantizeRecipe(candidates=(INT8, INT4)), TOOLS),
        keys.builds_key(weights, recipe, TOOLS | {"torch": "2.14.0"}),
        keys.builds_key(moved.model_copy(update={"stored": other_files()}), recipe, TOOLS),
    ]

    key = keys.builds_key(weights, recipe, TOOLS)

    assert (
        keys.builds_key(weights, QuantizeRecipe(candidates=(INT8,), prefer="fastest"), TOOLS) == key
    )
    assert len({key, *others}) == 5


def test_a_recipe_with_one_candidate_is_written_as_it_was_before_there_were_several() -> None:
    """So the keys of earlier releases stay; what an earlier version remembered is still read."""
    one = SelectRecipe(repo="acme/tiny-onnx", precision="int4", prefer="accuracy")
    several = SelectRecipe(
        repo="acme/tiny-onnx", candidates=[{"precision": "int4"}, {"precision": "int8"}]
    )

    assert one.model_dump() == {
        "kind": "select",
        "repo": "acme/tiny-onnx",
        "ref": "main",
        "endpoint": None,
        "target": "cpu",
        "precision": "int4",
        "folder": None,
        "model": None,
        "prefer": "accuracy",
    }
    for recipe in (one, several):
        assert SelectRecipe.model_validate_json(recipe.model_dump_json()) == recipe
    remembered = revision().model_dump()
    for written, read in ((published().model_dump(), (published(),)), (None, ())):
        assert Revision.model_validate(remembered | {"published": written}).published == read


def test_what_was_published_is_selected_with_its_precision() -> None:
    """The same files as another precision are held against other gates."""
    weights = summaries.weights(published=(published(),))
    int4, int8 = (
        SelectRecipe(repo="acme/tiny-onnx", precision=precision) for precision in ("int4", "int8")
    )

    assert keys.builds_key(weights, int4, TOOLS) != keys.builds_key(weights, int8, TOOLS)
    assert keys.builds_key(weights, int4, TOOLS) == keys.builds_key(weights, int4, {})


def test_measurements_depend_on_source_candidates_texts_and_tools() -> None:
    """The name of the catalogue's entry is not among them: two entries share what was measured."""
    built = (BuildResult(variant="cpu-int8", precision="int8", artifact=summaries.artifact()),)
    failed = (BuildResult(variant="cpu-int8", precision="int8", artifact=None, reason="no memory"),)
    weights = summaries.weights()

    found = [
        keys.evaluations_key(weights, built, "aa", 3, TOOLS),
        keys.evaluations_key(weights, built, "bb", 3, TOOLS),
        keys.evaluations_key(weights, built, "aa", 1, TOOLS),
        keys.evaluations_key(weights, failed, "aa", 3, TOOLS),
        keys.evaluations_key(weights, built, "aa", 3, TOOLS | {"onnxruntime-genai": "0.19.0"}),
        keys.evaluations_key(
            weights.model_copy(update={"stored": other_files()}), built, "aa", 3, TOOLS
        ),
    ]

    assert len(set(found)) == len(found)
    assert keys.result_key(found[0]) != found[0]


def other_files() -> Stored:
    """Return a folder of the store with another file than that of ``summaries.weights``."""
    file = FileEntry(path="model.safetensors", size_bytes=1, sha256="aa" * 32)
    return Stored(key="weights-2", folder=Path("store"), files=(file,))


def test_a_manifest_has_one_digest_in_any_order() -> None:
    """Names and contents matter; sizes follow from them."""
    one = FileEntry(path="a", size_bytes=1, sha256="aa" * 32)
    two = FileEntry(path="b", size_bytes=1, sha256="bb" * 32)
    swapped = [one.model_copy(update={"path": "b"}), two.model_copy(update={"path": "a"})]

    assert keys.manifest_digest([one, two]) == keys.manifest_digest([two, one])
    assert keys.manifest_digest([one, two]) != keys.manifest_digest(swapped)


def test_a_model_card_is_no_part_of_a_manifests_digest() -> None:
    """Somebody may correct a README, wherever it lies, and no byte that serves has changed."""
    weights = FileEntry(path="model.safetensors", size_bytes=1, sha256="aa" * 32)
    cards = [
        FileEntry(path=path, size_bytes=1, sha256="bb" * 32)
        for path in ("README.md", "onnx/README.md")
    ]
    license_file = FileEntry(path="LICENSE", size_bytes=1, sha256="bb" * 32)

    assert keys.manifest_digest([weights, *cards]) == keys.manifest_digest([weights])
    assert keys.manifest_digest([weights, license_file]) != keys.manifest_digest([weights])


def test_a_digest_is_canonical() -> None:
    """The order of keys does not count, and the text that is hashed has one form."""
    text = '{"a":"ü","b":[1,2]}'

    assert keys.digest({"b": (1, 2), "a": "ü"}) == keys.digest({"a": "ü", "b": [1, 2]})
    assert keys.digest({"b": (1, 2), "a": "ü"}) == hashlib.sha256(text.encode()).hexdigest()
