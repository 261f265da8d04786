"""Serves a GGUF with llama.cpp's server, its weights quantized to 8 bits, until it is ended.

The first line printed is the server's address. The interpreter needs the packages xllamacpp, which
has the server built in, and gguf. ``benchmarks/serving_load.py --llama-cpp`` starts it.

Usage: python benchmarks/llama_server.py GGUF MODEL_NAME [THREADS]
"""

import sys
import tempfile
import threading
from pathlib import Path

import gguf
import xllamacpp
from gguf.quants import dequantize, quantize

SLOTS = 8  # requests that are answered at the same time
SLOT_TOKENS = 4096
Q8_0 = gguf.GGMLQuantizationType.Q8_0


def main() -> None:
    """Quantize, serve, and wait."""
    given, name, *threads = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.gguf"
        write_q8_0(Path(given), file)
        params = xllamacpp.CommonParams()
        params.model.path = str(file)
        params.model_alias = {name}
        params.n_parallel, params.n_ctx = SLOTS, SLOTS * SLOT_TOKENS
        params.no_extra_bufts = True  # its AMX path crashes on some machines
        params.cpuparams.n_threads = int(*threads or "2")
        server = xllamacpp.Server(params)
        print(server.listening_address, flush=True)
        threading.Event().wait()


def write_q8_0(given: Path, file: Path) -> None:
    """Write the model with every matrix as Q8_0; vectors and metadata stay as they are."""
    read = gguf.GGUFReader(given)
    write = gguf.GGUFWriter(file, read.fields["general.architecture"].contents())
    for name, field in read.fields.items():
        if name != "general.architecture" and not name.startswith("GGUF."):
            kind, *inner = field.types
            write.add_key_value(name, field.contents(), kind, inner[-1] if inner else None)
    for tensor in read.tensors:
        values = dequantize(tensor.data, tensor.tensor_type)
        if values.ndim > 1:
            write.add_tensor(tensor.name, quantize(values, Q8_0), raw_dtype=Q8_0)
        else:
            write.add_tensor(tensor.name, values)
    write.write_header_to_file()
    write.write_kv_data_to_file()
    write.write_tensors_to_file()


if __name__ == "__main__":
    main()
