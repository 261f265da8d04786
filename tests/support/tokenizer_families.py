"""Tokenizers as families of published models have them, trained on the project's own texts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer, UnigramTrainer

from slipway.settings import PROJECT

SPECIAL = ["<unk>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|end|>"]
SIZE = 900

#: What Qwen2Tokenizer splits at, whatever the file says.
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Family(NamedTuple):
    """How a family's tokenizer is made, and what its configurations call it."""

    make: Callable[[], Tokenizer]
    tokenizer_class: str
    model_type: str

    def write(self, folder: Path) -> Path:
        """Write the files from which transformers loads it."""
        folder.mkdir()
        self.make().save(str(folder / "tokenizer.json"))
        names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
        configs = {
            "config.json": {"model_type": self.model_type},
            "tokenizer_config.json": {"tokenizer_class": self.tokenizer_class} | names,
        }
        for name, config in configs.items():
            (folder / name).write_text(json.dumps(config), encoding="utf-8")
        return folder


def byte_level() -> Tokenizer:
    """Letters are bytes; digits stand alone."""
    made = Tokenizer(models.BPE())
    digits, split = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel
    made.pre_tokenizer = pre_tokenizers.Sequence([digits, split(add_prefix_space=False)])
    return _learned_bytes(made)


def byte_level_nfc() -> Tokenizer:
    """Letters with accents are composed first."""
    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.NFC()
    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    words = pre_tokenizers.Split(Regex(QWEN), "isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence([words, split])
    return _learned_bytes(made)


def byte_fallback() -> Tokenizer:
    """A space before each part, spaces as letters, and bytes for what no token holds."""
    made = _learned_spaces()
    space, spaces = normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")
    made.normalizer = normalizers.Sequence([space, spaces])
    made.decoder = decoders.Sequence([*_BYTES_TO_TEXT, decoders.Strip(" ", 1, 0)])
    return made


def runs_of_spaces() -> Tokenizer:
    """Spaces and line breaks have tokens of their own, two and more at a time."""
    made = _learned_spaces()
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    made.decoder = decoders.Sequence(_BYTES_TO_TEXT)
    runs = ("▁▁", "▁▁▁▁", "▁▁▁▁▁▁▁▁", "\n\n", "\n\n\n")
    made.add_tokens([AddedToken(run, normalized=False, special=False) for run in runs])
    return made


def unigram() -> Tokenizer:
    """No merges: the likeliest pieces."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    made.train_from_iterator(_texts(), UnigramTrainer(**_TRAINING, unk_token="<unk>"))  # noqa: S106
    return made


#: By what is special about each.
FAMILIES = {
    "bytes": Family(byte_level, "GPT2Tokenizer", "llama"),
    "bytes and NFC": Family(byte_level_nfc, "Qwen2Tokenizer", "qwen2"),
    "byte fallback": Family(byte_fallback, "LlamaTokenizer", "phi3"),
    "merges across words": Family(byte_fallback, "LlamaTokenizer", "llama"),
    "runs of spaces": Family(runs_of_spaces, "GemmaTokenizer", "gemma"),
    "no merges": Family(unigram, "PreTrainedTokenizerFast", "llama"),
}
_BYTES_TO_TEXT = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
_TRAINING = {"vocab_size": SIZE, "special_tokens": SPECIAL, "show_progress": False}


def _texts() -> list[str]:
    folder = PROJECT / "expectations" / "texts" / "general"
    return [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.txt"))]


def _learned_bytes(made: Tokenizer) -> Tokenizer:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(_texts(), BpeTrainer(**_TRAINING, initial_alphabet=alphabet))
    return made


def _learned_spaces() -> Tokenizer:
    """Return a tokenizer whose pieces span one word while it learns, and whose bytes are tokens."""
    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))  # noqa: S106
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Split(Regex("▁?[^▁]+|▁+"), "isolated")
    made.train_from_iterator(_texts(), BpeTrainer(**_TRAINING))
    document = json.loads(made.to_str()) | {"pre_tokenizer": None}
    vocabulary = document["model"]["vocab"]
    vocabulary |= {f"<0x{byte:02X}>": len(vocabulary) + byte for byte in range(256)}
    return Tokenizer.from_str(json.dumps(document))
