"""Malformed repositories and checkpoints: what is wrong, in which file, and the rule."""

import json
import os
import pickle
import struct
import zipfile
from io import BytesIO

from tests.support.malformed import TENSOR, Case, both, cut, file, index, safetensors, without

PICKLE = pickle.dumps({"weight": [0.0] * 99})
TOKENIZER, WEIGHTS = "tokenizer_config.json", "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"


def archive() -> bytes:
    """Return what torch.save writes today: a zip archive."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr("archive/data.pkl", PICKLE)
    return buffer.getvalue()


NAMES: dict[str, Case] = {
    "a pickle": (file("pytorch_model.bin", PICKLE), "pytorch_model.bin", "only .safetensors"),
    "a library": (file("ops/libcustom.so", b"\x7fELF"), "ops/libcustom.so", "only .safetensors"),
    "code": (file("modeling.py", "import os"), "modeling.py", "code is never run"),
    "code as a license": (file("LICENSE.py", "import os"), "LICENSE.py", "code is never run"),
    "a pickle as a license": (file("LICENSE.pkl", "text"), "LICENSE.pkl", "only .safetensors"),
    "a program as a notice": (file("NOTICE-1.exe", "text"), "NOTICE-1.exe", "only .safetensors"),
    "an adapter": (file("adapter_config.json", "{}"), "adapter_config.json", "an adapter names"),
    "weights of an adapter": (
        file("deeper/adapter_model.safetensors", ""),
        "deeper/adapter_model.safetensors",
        "an adapter names",
    ),
    "a terminal's escape": (
        file("README\x1b[2J.md", "x"),
        "'README\\x1b[2J.md'",
        "not a path below",
    ),
    "text that runs backwards": (
        file("README\u202edm.md", "x"),
        "'README\\u202edm.md'",
        "not a path below",
    ),
    "a hidden file": (file(".env.json", "{}"), ".env.json", "hidden files"),
    "a hidden folder": (file(".git/config.json", "{}"), ".git/config.json", "hidden files"),
    "a link": (
        lambda folder: (folder / "merges.txt").symlink_to("/etc/hostname"),
        "merges.txt",
        "links are not allowed",
    ),
    "a link to a folder": (
        lambda folder: (folder / "more").symlink_to("/etc"),
        "more",
        "only .safetensors",
    ),
    "a link to nothing": (
        lambda folder: (folder / "NOTICE.txt").symlink_to("nowhere"),
        "NOTICE.txt",
        "links are not allowed",
    ),
    "a pipe": (lambda folder: os.mkfifo(folder / "vocab.json"), "vocab.json", "only regular files"),
    "a line break": (file("README\nok.md", "x"), "'README\\nok.md'", "not a path below"),
    "a backslash": (file("..\\up.json", "{}"), "..\\up.json", "not a path below"),
}
CONTENTS: dict[str, Case] = {
    "a pickle as a tokenizer": (file("tokenizer.model", PICKLE), "tokenizer.model", "a pickle"),
    "a zip as a tokenizer": (file("tokenizer.model", archive()), "tokenizer.model", "a zip"),
    "a program as a tokenizer": (file("tokenizer.model", b"MZ\0\0"), "tokenizer.model", "Windows"),
    "a library as a text": (file("merges.txt", b"\x7fELF\2"), "merges.txt", "a Linux program"),
    "a zip as a license": (file("LICENSE", archive()), "LICENSE", "a zip archive"),
    "a pickle as JSON": (file("vocab.json", PICKLE), "vocab.json", "a pickle"),
    "a macOS program": (file("README.md", b"\xcf\xfa\xed\xfe"), "README.md", "a macOS program"),
    "bytes as a text": (file("README.md", b"\xff\xfe"), "README.md", "not UTF-8"),
    "a NUL in a text": (file("NOTICE", "a\0b"), "NOTICE", "it contains a NUL"),
    "JSON cut short": (file("vocab.json", "{"), "vocab.json", "not JSON"),
    "JSON in UTF-16": (file("vocab.json", "{}".encode("utf-16")), "vocab.json", "not UTF-8"),
    "JSON without end": (file("vocab.json", "[" * 200_000), "vocab.json", "not JSON"),
    "deep JSON": (file("vocab.json", "[" * 99 + "]" * 99), "vocab.json", "nested deeper"),
    "no number": (
        file("added_tokens.json", '{"a": NaN}'),
        "added_tokens.json",
        "NaN is not a number",
    ),
    "an endless number": (file("vocab.json", "9" * 5000), "vocab.json", "not JSON"),
    "a key twice": (
        file(TOKENIZER, '{"eos_token": "a", "eos_\\u0074oken": "b"}'),
        TOKENIZER,
        "the key 'eos_token' occurs twice",
    ),
    "half a character": (
        file(TOKENIZER, '{"eos_token": "\\ud83d"}'),
        TOKENIZER,
        "half a character",
    ),
    "half a character as a key": (
        file("vocab.json", '{"\\uDE00": 1}'),
        "vocab.json",
        "half a character",
    ),
    "more values than any tokenizer has": (
        file("tokenizer.json", "[" + "[]," * 4_000_000 + "[]]"),
        "tokenizer.json",
        "8,000,002 values, and 6,000,000 are the limit",
    ),
    "code of a tokenizer": (
        file(TOKENIZER, '{"auto_map": {"AutoTokenizer": ["evil.T", null]}}'),
        TOKENIZER,
        "auto_map asks to run code",
    ),
    "code of a processor": (
        file("processor_config.json", '{"image": {"auto_map": {}}}'),
        "processor_config.json",
        "auto_map asks to run code",
    ),
    "code of a generation": (
        file("generation_config.json", '[{"auto_map": {}}]'),
        "generation_config.json",
        "auto_map asks to run code",
    ),
    "a kernel of the Hub": (
        file("config.json", '{"attn_implementation": {"": "evil/attention"}}'),
        "config.json",
        "attn_implementation asks to run a kernel",
    ),
    "another model's tokenizer": (
        file(TOKENIZER, '{"fast_tokenizer_files": ["../other/tokenizer.4.json"]}'),
        TOKENIZER,
        "'../other/tokenizer.4.json', which is no file of its folder",
    ),
    "a vocabulary at the root": (
        file(TOKENIZER, '{"vocab_file": "/etc/passwd"}'),
        TOKENIZER,
        "'/etc/passwd', which is no file",
    ),
    "a vocabulary that is missing": (
        file("tokenizer_module.json", '{"tiktoken_file": "words.txt"}'),
        "tokenizer_module.json",
        "'words.txt', which is no file",
    ),
    "a module of another model": (
        file("modules.json", '[{"idx": 0, "path": "../other"}]'),
        "modules.json",
        "a path in it leads out",
    ),
    "large JSON": (
        file("vocab.json", "[" + " " * 20_000_000 + "]"),
        "vocab.json",
        "20 MB are the limit",
    ),
    "no tokenizer": (without("tokenizer.json"), "tokenizer.json", "it is missing"),
    "no settings of it": (without(TOKENIZER), TOKENIZER, "it is missing"),
}
#: A header of safetensors that does not describe its file, and what the library says of it.
_NO_LIST, _GAPS = "invalid JSON in header", "invalid offset for tensor"
_UNCOVERED = "incomplete metadata, file not fully covered"
_HEADERS: dict[str, tuple[object, str]] = {
    "not JSON": (b"{", _NO_LIST),
    "a list": ([TENSOR], _NO_LIST),
    "no tensor": ({"a": None}, _NO_LIST),
    "an unknown type": ({"a": TENSOR | {"dtype": "F3"}}, _NO_LIST),
    "no offsets": ({"a": {"dtype": "F32", "shape": [2]}}, _NO_LIST),
    "one offset": ({"a": TENSOR | {"data_offsets": [0]}}, _NO_LIST),
    "an offset of letters": ({"a": TENSOR | {"data_offsets": [0, "x"]}}, _NO_LIST),
    "no shape": ({"a": TENSOR | {"shape": None}}, _NO_LIST),
    "an endless shape": ({"a": TENSOR | {"shape": [1e999]}}, _NO_LIST),
    "nested without end": (b"[" * 100_000, _NO_LIST),
    "a shape larger than its span": ({"a": TENSOR | {"shape": [3]}}, "invalid shape"),
    "a gap before the first": ({"a": TENSOR | {"data_offsets": [1, 9]}}, _GAPS),
    "an overlap": ({"a": TENSOR, "b": TENSOR}, _GAPS),
    "a gap": ({"a": TENSOR, "b": TENSOR | {"data_offsets": [9, 17]}}, _GAPS),
    "bytes that nobody claims": ({}, _UNCOVERED),
    "longer than the file": (
        {"a": TENSOR, "b": TENSOR | {"data_offsets": [8, 16]}},
        _UNCOVERED,
    ),
}
#: Weights that were cut short, by the number of bytes that are left.
_CUTS = {0: "header too small", 7: "header too small", 60: "invalid header length"}
#: An index that does not describe the weights beside it: what it maps, and the rule.
_INDEXES: dict[str, tuple[object, str]] = {
    "another model": ({"weight": "../other/model.safetensors"}, "which is no file of its folder"),
    "the root": ({"weight": "/models/model.safetensors"}, "which is no file of its folder"),
    "a folder": ({"weight": "./model.safetensors"}, "which is no file of its folder"),
    "another kind of file": ({"weight": "config.json"}, "which is no file of its folder"),
    "a number": ({"weight": 7}, "which is no file of its folder"),
    "an unknown tensor": ({"weight": WEIGHTS, "bias": WEIGHTS}, "'bias' is not in model"),
    "another tensor": ({"bias": WEIGHTS}, "'bias' is not in model"),
    "no tensor": ({}, "no weight_map"),
    "a list": ([WEIGHTS], "no weight_map"),
}
CHECKPOINTS: dict[str, Case] = {
    **{
        f"an index with {name}": (index(INDEX, places), INDEX, rule)
        for name, (places, rule) in _INDEXES.items()
    },
    "weights that no index names": (
        both(
            without(WEIGHTS),
            safetensors("a.safetensors", {"weight": TENSOR}),
            safetensors("b.safetensors", {"b": TENSOR}),
            index(INDEX, {"weight": "a.safetensors"}),
        ),
        INDEX,
        "it does not name 'b' of b.safetensors",
    ),
    "weights in two files": (
        both(
            without(WEIGHTS),
            safetensors("a.safetensors", {"weight": TENSOR}),
            safetensors("b.safetensors", {"weight": TENSOR}),
            index(INDEX, {"weight": "a.safetensors"}),
        ),
        INDEX,
        "it does not name 'weight' of b.safetensors",
    ),
    "weights beside the index's": (
        both(
            safetensors("b.safetensors", {"b": TENSOR}),
            index(INDEX, {"weight": WEIGHTS, "b": "b.safetensors"}),
        ),
        WEIGHTS,
        "readers take either this file or those",
    ),
    "a second index": (
        both(
            index("other.safetensors.index.json", {"weight": "../other/model.safetensors"}),
            file("config.json", '{"transformers_weights": "other.safetensors.index.json"}'),
        ),
        "config.json",
        "transformers_weights names 'other",
    ),
    "an index of a variant": (
        index("model.fp16.safetensors.index.json", {"weight": WEIGHTS}),
        "model.fp16.safetensors.index.json",
        "only model.safetensors.index.json may name weights",
    ),
    "weights beside the model's": (
        safetensors("more.safetensors", {"b": TENSOR}),
        "more.safetensors",
        "no model.safetensors.index.json names it",
    ),
    "other weights by the configuration": (
        file("config.json", '{"transformers_weights": "../other/model.safetensors"}'),
        "config.json",
        "only model.safetensors is loaded",
    ),
    "a large header": (safetensors(WEIGHTS, b" " * 16_000_001), WEIGHTS, "16,000,001 bytes"),
    "an impossible shape": (
        safetensors(WEIGHTS, {"a": TENSOR | {"shape": [0, 1 << 50], "data_offsets": [0, 0]}}, b""),
        WEIGHTS,
        "'a' has an impossible shape",
    ),
    "many dimensions": (
        safetensors(WEIGHTS, {"a": TENSOR | {"shape": [2] + [1] * 8}}),
        WEIGHTS,
        "'a' has an impossible shape",
    ),
    "a tensor twice": (
        safetensors(WEIGHTS, b'{"a": %b, "a": %b}' % ((json.dumps(TENSOR).encode(),) * 2)),
        WEIGHTS,
        "the key 'a' occurs twice",
    ),
    **{
        f"a header with {name}": (safetensors(WEIGHTS, header), WEIGHTS, rule)
        for name, (header, rule) in _HEADERS.items()
    },
    **{f"weights of {left} bytes": (cut(WEIGHTS, left), WEIGHTS, _CUTS[left]) for left in _CUTS},
    "weights that lack a byte": (
        safetensors(WEIGHTS, {"a": TENSOR}, bytes(7)),
        WEIGHTS,
        _UNCOVERED,
    ),
    "no weights": (without(WEIGHTS), "*.safetensors", "there are no weights"),
    "a pickle as weights": (file(WEIGHTS, PICKLE), WEIGHTS, "not a whole safetensors file"),
    "a polyglot": (
        file(WEIGHTS, struct.pack("<Q", 2) + b"{}" + archive()),
        WEIGHTS,
        "file not fully covered",
    ),
    "an endless header": (
        file(WEIGHTS, struct.pack("<Q", 1 << 62) + b"{}"),
        WEIGHTS,
        "are allowed",
    ),
    "a short header": (
        file(WEIGHTS, struct.pack("<Q", 3) + b"{}" + bytes(8)),
        WEIGHTS,
        _NO_LIST,
    ),
    "code behind a pointer": (
        file("config.json", '{"\\u0061uto_map": {"AutoModel": "evil.Model"}}'),
        "config.json",
        "auto_map asks to run code",
    ),
    "no configuration": (without("config.json"), "config.json", "it is missing"),
    "a list as configuration": (file("config.json", "[]"), "config.json", "not a JSON object"),
    "a graph that is none": (file("onnx/model.onnx", b"graph"), "onnx/model.onnx", "not begin"),
    "data without a graph": (file("more.data", b"\0"), "more.data", "no graph"),
}
