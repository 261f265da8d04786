"""What a listing and its small files tell is told before any weights are downloaded."""

import json
from typing import Any

import pytest

from slipway.errors import ArchitectureUnsupported, SlipwayError, SourceRefused
from slipway.sources import checkpoint as checkpoint_module
from slipway.values import HubSource, Quantization, QuantizeRecipe
from tests.support import summaries
from tests.support.acme_models import NEEDED, REPO
from tests.support.hub import LocalHub, RunningHub

CONFIG, TOKENIZER = "config.json", "tokenizer_config.json"
INDEX = "model.safetensors.index.json"
QUANTIZE = QuantizeRecipe(candidates=(Quantization(precision="int8"),))
PLACES = {"a": "model[1].safetensors", "b": "model[2].safetensors"}


def written(document: Any) -> bytes:
    """Return a JSON file."""
    return json.dumps(document).encode()


def quantized(settings: dict[str, Any]) -> bytes:
    """Return a configuration of quantized weights."""
    return written({"architectures": ["Phi3ForCausalLM"], "quantization_config": settings})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({CONFIG: quantized({"quant_method": "awq"})}, "already with awq", id="AWQ"),
        pytest.param({CONFIG: quantized({"quant_method": "fp8"})}, "already with fp8", id="FP8"),
        pytest.param(
            {CONFIG: quantized({"quant_method": "bitsandbytes", "load_in_4bit": True})},
            "already with bitsandbytes",
            id="bitsandbytes",
        ),
        pytest.param(
            {CONFIG: written({"text_config": {"compression_config": {"format": "pack"}}})},
            "quantized already, and",
            id="in a part of the model",
        ),
        pytest.param({"quantize_config.json": b"{}"}, "that are quantized already", id="GPTQ"),
        pytest.param(
            {INDEX: written({"weight_map": PLACES})},
            "'model\\[2\\].safetensors', which is no file of its folder",
            id="a missing shard",
        ),
        pytest.param({INDEX: None}, "no model.safetensors.index.json names it", id="no index"),
        pytest.param({TOKENIZER: b"{}"}, "there is no chat template", id="no chat template"),
        pytest.param({TOKENIZER: None}, "and it is missing", id="no settings of the tokenizer"),
        pytest.param(
            {TOKENIZER: written({"chat_template": "{{ 1 / 0 }}"})}, "fails", id="a bad template"
        ),
        pytest.param(
            {CONFIG: written({"architectures": ["OddForCausalLM"]})},
            "OddForCausalLM cannot be quantized",
            id="an architecture",
        ),
        pytest.param({"adapter_config.json": b"{}"}, "an adapter names", id="a LoRA adapter"),
    ],
)
def test_a_repository_that_cannot_be_released_is_refused_before_its_download(
    acme: LocalHub,
    running: RunningHub,
    source: HubSource,
    changes: dict[str, bytes | None],
    told: str,
) -> None:
    """The error is that of `slipway plan`, and no weights were requested."""
    files = {name: data for name, data in (NEEDED | changes).items() if data is not None}
    acme.push(REPO, files)
    entry = summaries.entry(source=source, licenses=("mit",), recipe=QUANTIZE)

    with pytest.raises(SlipwayError, match=told) as refused:
        checkpoint_module.resolve(entry)

    assert isinstance(refused.value, SourceRefused | ArchitectureUnsupported)
    assert not [each.path for each in running.requests if each.path.endswith(".safetensors")]


@pytest.mark.parametrize(
    ("declared", "licenses"),
    [("license:\n- mit", ["mit"]), ("license: [mit, apache-2.0]", ["apache-2.0", "mit"])],
)
def test_a_license_may_be_a_list(
    acme: LocalHub, source: HubSource, declared: str, licenses: list[str]
) -> None:
    """Every license of the list has to be allowed."""
    acme.push(REPO, NEEDED | {"README.md": f"---\n{declared}\n---\n# Tiny\n".encode()})
    entry = summaries.entry(source=source, licenses=tuple(licenses), recipe=QUANTIZE)

    assert sorted(each or "" for each in checkpoint_module.resolve(entry).licenses) == licenses
