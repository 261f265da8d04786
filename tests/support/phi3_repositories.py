"""Repositories laid out as Microsoft publishes Phi-3-mini-4k, holding the tiny Phi-3.

File names and folders are those of https://huggingface.co/microsoft/Phi-3-mini-4k-instruct and of
its ``-onnx`` sibling; what the files hold is tiny.
"""

import json
import shutil
from pathlib import Path

from tests.support import tiny_phi3

WEIGHTS = "microsoft/Phi-3-mini-4k-instruct"
ONNX = "microsoft/Phi-3-mini-4k-instruct-onnx"
VARIANT = "cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4"

_CODE = "raise SystemExit('code of a model was run')\n"


def lay_out_weights(checkpoint: Path, folder: Path) -> Path:
    """Write the checkpoint as the weights' repository: two shards, remote code, ``auto_map``."""
    from transformers import AutoModelForCausalLM

    shutil.copytree(checkpoint, folder)
    (folder / "model.safetensors").unlink()
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    model.save_pretrained(folder, max_shard_size="400KB")
    config = json.loads((folder / "config.json").read_bytes())
    config["auto_map"] = {"AutoConfig": "configuration_phi3.Phi3Config"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for name in ("configuration_phi3.py", "modeling_phi3.py", "sample_finetune.py"):
        (folder / name).write_text(_CODE, encoding="utf-8")
    for name in ("CODE_OF_CONDUCT.md", "NOTICE.md", "SECURITY.md"):
        (folder / name).write_text(f"# {name}\n", encoding="utf-8")
    return folder


def lay_out_onnx(checkpoint: Path, folder: Path) -> Path:
    """Write int4 artifacts as the ONNX repository: one for the CPU, and one that is not."""
    name = f"phi3-mini-4k-instruct-{VARIANT.rpartition('/')[2]}.onnx"
    built = tiny_phi3.build_onnx(checkpoint, folder / VARIANT, "int4", filename=name)
    (built / "configuration_phi3.py").write_text(_CODE, encoding="utf-8")
    other = folder / "cuda" / "cuda-int4-rtn-block-32"
    shutil.copytree(built, other)
    config = json.loads((other / "genai_config.json").read_bytes())
    config["model"]["decoder"]["session_options"]["provider_options"] = [{"cuda": {}}]
    (other / "genai_config.json").write_text(json.dumps(config), encoding="utf-8")
    for name in ("LICENSE", "README.md"):
        shutil.copy(checkpoint / name, folder)
    return folder
