"""Good repositories are allowed: rules that refuse them would be switched off."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from slipway.settings import PROJECT
from slipway.validation import folders, names
from tests.support import tiny_artifact, tiny_phi3
from tests.support.malformed import (
    TEMPLATE,
    Damage,
    both,
    config,
    file,
    graph,
    node,
    template,
    write_artifact,
    write_checkpoint,
)

TOKENIZER = "tokenizer_config.json"
SESSION = "model/decoder/session_options"
WINDOW = {"window_size": 2047, "slide_key_value_cache": False, "slide_inputs": False}
DECLINES = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{{ bos_token + messages[0]['content'] }}"
)
MANY = "{% if messages|length > 9 %}{{ raise_exception('too many turns') }}{% endif %}"
NAMED = json.dumps({"chat_template": [{"name": "default", "template": TEMPLATE}]})
FOR_TOOLS = "{% for tool in tools %}{{ tool['function']['name'] }}{% endfor %}"
WITH_TOOLS = json.dumps(
    {
        "chat_template": [
            {"name": "default", "template": TEMPLATE},
            {"name": "tool_use", "template": FOR_TOOLS},
        ]
    }
)
ONE_OF_TWO = {"filename": "model.onnx", "run_on_prompt": True, "is_lm_head": False}

ARTIFACTS: dict[str, Damage] = {
    "as it is": both(),
    "a tokenizer of numbers": file("tokenizer.model", b"\n\x0b\n\x04<pad>\x15\0\0\0\0"),
    "a card in any language": file("README.md", "# 你好 🌍\n"),
    "a notice of the license": file("NOTICE", "Made by Acme."),
    "paths of the author's machine": file(
        TOKENIZER, '{"name_or_path": "/home/ann/tiny", "tokenizer_file": "/home/ann/x.json"}'
    ),
    "words that look like settings": file("vocab.json", '{"auto_map": 1, "__class__": 2}'),
    "one end of text": config("model/eos_token_id", 0),
    "a sliding window": config("model/decoder/sliding_window", WINDOW | {"layers": [0, 1]}),
    "a graphics processor": config(f"{SESSION}/provider_options", [{"cuda": {"device_id": "0"}}]),
    "the processor itself": config(f"{SESSION}/provider_options", [{"cpu": {}}]),
    "threads": config(f"{SESSION}/intra_op_num_threads", 2),
    "waiting without spinning": config(f"{SESSION}/session.intra_op.allow_spinning", "0"),
    "stages": config("model/decoder/pipeline", [{"first": ONE_OF_TWO}]),
    "images": both(
        config("model/embedding", {"filename": "model.onnx", "outputs": {"inputs_embeds": "x"}}),
        config("model/vision", {"filename": "model.onnx", "inputs": {"pixel_values": "x"}}),
    ),
    "a shorter answer": config("search/max_length", 100),
    "operators of Microsoft": node("MatMulNBits", "com.microsoft"),
    "weights within the graph": both(
        graph(lambda model: model.graph.ClearField("initializer")),
        lambda folder: (folder / "model.onnx.data").unlink(),
    ),
    "a second graph": file("embedding.onnx", tiny_artifact.graph().SerializeToString()),
}
TEMPLATES: dict[str, Damage] = {
    "a plain one": template(TEMPLATE),
    "one that declines a system message": template(DECLINES),
    "one that declines many turns": template(TEMPLATE + MANY),
    "one that looks into a text": template(TEMPLATE + "{{ 'a' in 'abc' }}"),
    "one that replaces": template(TEMPLATE + "{{ 'a'.replace('a', 'b') }}"),
    "one that reads the date": template(TEMPLATE + "{{ strftime_now('%Y') }}"),
    "one that marks the answer": template("{% generation %}" + TEMPLATE + "{% endgeneration %}"),
    "one in a list": file(TOKENIZER, NAMED),
    "the same one twice": both(template(TEMPLATE), file(TOKENIZER, NAMED)),
    "one beside an older one": both(template(TEMPLATE), file(TOKENIZER, '{"chat_template": "x"}')),
    "one beside one for processors": both(
        template(TEMPLATE), file("chat_template.json", '{"chat_template": "x"}')
    ),
    "one beside one for tools": file(TOKENIZER, WITH_TOOLS),
    "one beside a file for tools": both(
        template(TEMPLATE), file("additional_chat_templates/tool_use.jinja", FOR_TOOLS)
    ),
}


@pytest.mark.parametrize("change", ARTIFACTS.values(), ids=ARTIFACTS.keys())
def test_a_harmless_artifact_is_allowed(tmp_path: Path, change: Damage) -> None:
    """Such as those that are published for Phi, Qwen, Llama and Gemma."""
    write_artifact(tmp_path)
    change(tmp_path)

    assert folders.check_artifact(tmp_path).templates == ()


@pytest.mark.parametrize("change", TEMPLATES.values(), ids=TEMPLATES.keys())
def test_a_harmless_template_is_allowed_and_identified(tmp_path: Path, change: Damage) -> None:
    """By the digest of its text, in whichever file."""
    write_checkpoint(tmp_path)
    change(tmp_path)

    facts = folders.check_checkpoint(tmp_path)

    assert facts.chat_template_digest == hashlib.sha256(_template(tmp_path).encode()).hexdigest()


def test_a_template_may_use_the_special_tokens(tmp_path: Path) -> None:
    """They are written in either of the two forms that transformers knows."""
    write_checkpoint(tmp_path)
    text = "{{ bos_token + eos_token + messages[0]['content'] }}"
    tokens = {"bos_token": {"content": "<s>"}, "eos_token": "</s>", "chat_template": text}
    file(TOKENIZER, json.dumps(tokens))(tmp_path)

    assert folders.check_checkpoint(tmp_path).chat_template_digest is not None


def test_one_template_is_rendered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release looks at its files several times; only the first look starts a process."""
    write_checkpoint(tmp_path)
    template(TEMPLATE + "once")(tmp_path)
    first = folders.check_checkpoint(tmp_path)
    monkeypatch.setattr("sys.executable", "/no interpreter")

    assert folders.check_checkpoint(tmp_path) == first


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
def test_artifacts_of_the_builder_are_allowed(
    checkpoint: Path, tmp_path: Path, precision: str
) -> None:
    """With the template of the checkpoint that it was built from."""
    artifact = tiny_phi3.build_onnx(checkpoint, tmp_path / "artifact", precision)

    facts = folders.check_artifact(artifact)

    assert [name.split()[1] for name in facts.nodes] == [precision] * (precision != "fp32")
    assert facts.templates == folders.check_checkpoint(checkpoint).templates


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("model.safetensors", True),
        ("deeper/model.onnx.data", True),
        ("LICENSE", True),
        ("deeper/README.py", False),
        ("optimizer.pt", False),
        ("model.pkl", False),
        ("model.safetensors.exe", False),
        ("deeper/weights.ckpt", False),
        ("model.gguf", False),
        ("model.onnx.py", False),
        ("../config.json", False),
        ("a/../../config.json", False),
        ("/etc/config.json", False),
        (".git/config.json", False),
        ("a\\config.json", False),
        ("a\nb.json", False),
        ("", False),
    ],
)
def test_a_path_is_allowed_by_its_name_and_folder(path: str, *, expected: bool) -> None:
    """Before anything is fetched, so a listing cannot point outside of a folder."""
    assert names.is_allowed(path) is expected


def test_the_schema_of_configurations_is_closed_at_every_level() -> None:
    """An object with free fields would allow unchecked settings."""
    text = (PROJECT / "expectations" / "genai_config.schema.json").read_bytes()

    open_ones = [place for place, each in _objects("", json.loads(text)) if _is_open(each)]

    assert open_ones == []


def _objects(place: str, schema: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return every schema of an object, with its place."""
    if isinstance(schema, list):
        return [each for inner in schema for each in _objects(place, inner)]
    if not isinstance(schema, dict):
        return []
    inner = [each for key, value in schema.items() for each in _objects(f"{place}/{key}", value)]
    return [(place, schema), *inner] if schema.get("type") == "object" else inner


def _is_open(schema: dict[str, Any]) -> bool:
    """Whether it takes a field that it does not name; those of free names have a form."""
    return schema.get("additionalProperties") is not False and "propertyNames" not in schema


def _template(folder: Path) -> str:
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    config = json.loads((folder / TOKENIZER).read_bytes())
    return str(config["chat_template"][0]["template"])
