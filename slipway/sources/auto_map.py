"""The pointer to remote code that ``config.json`` may have, beside weights that need none."""

import json
from pathlib import Path

from slipway.validation import folders


def drop_auto_map(path: Path) -> bool:
    """Remove the pointer to remote code from a model whose code transformers itself has.

    Phi-3's own repository has one, beside weights that transformers loads without it.

    Returns:
        Whether the file was changed.
    """
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False  # the validation that follows reports what is wrong
    if not folders.has_known_code(config) or "auto_map" not in config:
        return False
    del config["auto_map"]
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")
    return True
