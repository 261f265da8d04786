"""What is let in: every check over the files of a source, before anything loads them.

Formats are an allow-list, a file has to be what its name says, and nothing that a source brings is
ever executed: no pickle, no Python, no ``auto_map``, no library of operators. The one program that
a model needs, its chat template, is tried in a sandbox within a child process.

==============  ===================================================================
``names``       which paths may be there at all
``contents``    magic bytes, texts, JSON
``weights``     safetensors headers
``graphs``      ONNX graphs, and the data beside them
``genai``       ``genai_config.json`` against its closed schema
``templates``   chat templates
``folders``     all of these over a checkpoint, or over an artifact
==============  ===================================================================
"""

from slipway.validation.folders import (
    SUPPORTED,
    ArtifactFacts,
    Facts,
    inspect,
    inspect_artifact,
    require_supported,
)
from slipway.validation.names import PREFIXES, SUFFIXES, admitted
from slipway.validation.safetensors_files import parameters

__all__ = [
    "PREFIXES",
    "SUFFIXES",
    "SUPPORTED",
    "ArtifactFacts",
    "Facts",
    "admitted",
    "inspect",
    "inspect_artifact",
    "parameters",
    "require_supported",
]
