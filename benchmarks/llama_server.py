"""Serves a GGUF with llama.cpp's server, until it is ended.

The first line printed is the server's address. The interpreter needs the packages xllamacpp, which
has the server built in, and gguf. ``benchmarks/llama_cpp.py`` starts it.

Usage: python benchmarks/llama_server.py GGUF MODEL_NAME q8_0|as-it-is [THREADS]
"""

import sys
import tempfile
import threading
from pathlib import Path

import xllamacpp
from q8_0 import convert  # the folder of this script is on the path

SLOTS = 8  # requests that are answered at the same time
SLOT_TOKENS = 4096


def main() -> None:
    """Quantize if asked to, serve, and wait."""
    given, name, bits, *threads = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(given)
        if bits == "q8_0":
            file = Path(folder) / "model.gguf"
            convert(Path(given), file)
        params = xllamacpp.CommonParams()
        params.model.path = str(file)
        params.model_alias = {name}
        params.n_parallel, params.n_ctx = SLOTS, SLOTS * SLOT_TOKENS
        params.no_extra_bufts = True  # its AMX path crashes on some machines
        params.cpuparams.n_threads = int(*threads or "2")
        server = xllamacpp.Server(params)
        print(server.listening_address, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
