"""Malformed repositories and checkpoints: what is wrong, in which file, and the rule."""

import os
import pickle
import struct
import zipfile
from io import BytesIO

from tests.support.malformed import Case, cut, file, without

PICKLE = pickle.dumps({"weight": [0.0] * 99})
TOKENIZER = "tokenizer_config.json"


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
    "a pipe": (lambda folder: os.mkfifo(folder / "vocab.json"), "vocab.json", "only regular files"),
    "a line break": (file("README\nok.md", "x"), "'README\\nok.md'", "do not print"),
    "a backslash": (file("..\\up.json", "{}"), "..\\up.json", "a backslash"),
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
    "large JSON": (
        file("vocab.json", "[" + " " * 50_000_000 + "]"),
        "vocab.json",
        "50 MB are the limit",
    ),
    "no tokenizer": (without("tokenizer.json"), "tokenizer.json", "it is missing"),
}
CHECKPOINTS: dict[str, Case] = {
    "a pickle as weights": (
        file("model.safetensors", PICKLE),
        "model.safetensors",
        "not a whole safetensors file",
    ),
    "a polyglot": (
        file("model.safetensors", struct.pack("<Q", 2) + b"{}" + archive()),
        "model.safetensors",
        "file not fully covered",
    ),
    "weights cut short": (
        cut("model.safetensors", 60),
        "model.safetensors",
        "invalid header length",
    ),
    "an endless header": (
        file("model.safetensors", struct.pack("<Q", 1 << 62) + b"{}"),
        "model.safetensors",
        "header too large",
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
