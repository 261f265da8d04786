"""Measures time and memory of our download against the client's own.

The download step (download, verify, manifest, fsync, publish) and ``snapshot_download`` with one
SHA-256 pass over the same bytes run in turn, each in a fresh process. Both read from a local Hub in
another process.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slipway.libraries import disable_telemetry
from slipway.sources.hub_client import RepositoryAddress
from slipway.system.store import Store, sha256
from tests.support.acme_models import download_of
from tests.support.hub import LocalHub

ROUNDS = 3
SHARDS = 2
SIZES_MB = {"small": 100, "large": 1000}
BAR = 1.25
_BLOCK_BYTES = 1 << 20


def main() -> None:
    """Measure, and print the result."""
    with tempfile.TemporaryDirectory() as name, served(Path(name)) as (endpoint, commits):
        work = Path(name) / "work"
        memory = {
            size: max(run("ours", endpoint, size, commits[size], work)["peak_mb"] for _ in range(2))
            for size in SIZES_MB
        }
        times: dict[str, list[float]] = {"ours": [], "bare": []}
        for _ in range(ROUNDS):
            for way, seconds in times.items():
                seconds.append(run(way, endpoint, "large", commits["large"], work)["seconds"])
    report(times, memory)


def report(times: dict[str, list[float]], memory: dict[str, float]) -> None:
    """Print medians, their ratio, and the peak memory of both sizes."""
    median = {way: statistics.median(seconds) for way, seconds in times.items()}
    for way, seconds in times.items():
        rounds = ", ".join(f"{each:.2f}" for each in seconds)
        print(f"{way}: median {median[way]:.2f} s for {SIZES_MB['large']} MB ({rounds})")
    print(f"ratio ours / bare: {median['ours'] / median['bare']:.2f} (at most {BAR})")
    for size, peak_mb in memory.items():
        print(f"peak memory of our process for {SIZES_MB[size]} MB: {peak_mb:.0f} MB")


def run(way: str, endpoint: str, size: str, commit: str, work: Path) -> dict[str, float]:
    """Download once in a fresh process, and return its ``seconds`` and ``peak_mb``."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    os.sync()  # unwritten bytes of the last round would slow this one
    command = [sys.executable, __file__, way, endpoint, size, commit, str(work)]
    environment = {**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HOME": str(work / "hf")}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def once(way: str, endpoint: str, size: str, commit: str, work: Path) -> None:
    """Download in this process, and print its seconds and peak memory."""
    from huggingface_hub import HfApi

    api, paths = HfApi(endpoint=endpoint), shard_names()
    address = RepositoryAddress(f"acme/{size}", commit, endpoint)
    started = time.perf_counter()
    if way == "ours":
        store = Store(work / "store")
        store.make(size, lambda into: download_of(address, paths).write(into, store.partial(size)))
    else:
        folder = Path(api.snapshot_download(address.repo, revision=commit, local_dir=work / "bare"))
        for path in paths:
            sha256(folder / path)
    seconds = time.perf_counter() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb}))


@contextmanager
def served(root: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Serve a repository of random weights per size; yield the address, and a commit per size."""
    for size, size_mb in SIZES_MB.items():
        write_weights(root / "hub" / "acme" / size, size_mb)
    command = [sys.executable, __file__, "serve", str(root / "hub")]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None  # noqa: S101 - it is a pipe
        endpoint, commits = json.loads(server.stdout.readline())
        yield endpoint, commits
    finally:
        server.communicate()


def serve(folder: Path) -> None:
    """Serve ``folder`` until the standard input ends."""
    hub = LocalHub(folder)
    commits = {size: hub.push(f"acme/{size}", folder / "acme" / size) for size in SIZES_MB}
    with hub.serve() as running:
        print(json.dumps([running.endpoint, commits]), flush=True)
        sys.stdin.read()


def write_weights(folder: Path, size_mb: int) -> None:
    """Write random weights in shards."""
    folder.mkdir(parents=True)
    for name in shard_names():
        with (folder / name).open("wb") as file:
            for _ in range(size_mb * 1_000_000 // SHARDS // _BLOCK_BYTES):
                file.write(os.urandom(_BLOCK_BYTES))


def shard_names() -> list[str]:
    """Return the names of the safetensors shards."""
    return [f"model-{each:05}-of-{SHARDS:05}.safetensors" for each in range(1, SHARDS + 1)]


if __name__ == "__main__":
    disable_telemetry()
    match sys.argv[1:]:
        case []:
            main()
        case ["serve", folder]:
            serve(Path(folder))
        case [way, endpoint, size, commit, work]:
            once(way, endpoint, size, commit, Path(work))
