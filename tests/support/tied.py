"""A tiny checkpoint whose token embeddings are its output layer too."""

import json
import shutil
from pathlib import Path


def write_tied(checkpoint: Path, folder: Path) -> Path:
    """Copy a checkpoint in transformers' layout to ``folder``, and tie its embeddings.

    Its own output layer is left out, as transformers writes a model with tied embeddings.
    """
    from safetensors.numpy import load_file, save_file

    shutil.copytree(checkpoint, folder)
    file = folder / "model.safetensors"
    tensors = load_file(file)
    del tensors["lm_head.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_bytes()) | {"tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
