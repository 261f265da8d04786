"""Downloads of one file that meets each fault at each offset, once and for good, into one store.

A script, because the client reads its timeout when it is imported: ``HF_HUB_DOWNLOAD_TIMEOUT=1
python download_faults.py FOLDER`` writes the outcome of each download as JSON.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slipway.errors import SlipwayError
from slipway.sources.hub_client import RepositoryAddress
from slipway.system.store import Store
from tests.support.acme_models import download_of
from tests.support.hub import (
    Answer,
    Fault,
    LocalHub,
    RunningHub,
    cut,
    error_status,
    html_page,
    stall,
)

SIZE_BYTES = 200_000
PIECE_BYTES = 8192
OFFSETS = (0, 1, 8191, 8192, 8193, 65_536, 100_000, 131_072, 199_998, 199_999)
WEIGHTS = "model.safetensors"
# No byte of it is ASCII, so that a web page differs from it in every byte.
CONTENT = bytes(byte | 0x80 for byte in hashlib.shake_256(b"weights").digest(SIZE_BYTES))
FILES = {"config.json": b"{}", WEIGHTS: CONTENT}

_SIDE_BY_SIDE = 70  # almost all of the time is the client's waiting


@dataclass(frozen=True)
class Case:
    """One download.

    Attributes:
        fault: Its name.
        offset: The byte of the file that it meets.
        lasts: Whether it meets every request that asks for that byte, or only the first.
    """

    fault: str
    offset: int
    lasts: bool

    @property
    def name(self) -> str:
        """A name for its repository and its entry in the store."""
        return f"{self.fault.replace(' ', '-')}-{self.offset}-{'ever' if self.lasts else 'once'}"


def main(folder: Path) -> None:
    """Run all cases on a Hub and a store in ``folder``, and write their outcomes."""
    from huggingface_hub import constants

    # So that what happens within gigabytes happens within kilobytes: pieces kept, and resumed from.
    constants.DOWNLOAD_CHUNK_SIZE = PIECE_BYTES
    cases = [Case(*each) for each in product()]
    hub, store = LocalHub(folder / "hub"), Store(folder / "store")
    commits = {case: hub.push(f"acme/{case.name}", FILES) for case in cases}
    with hub.serve() as running, ThreadPoolExecutor(_SIDE_BY_SIDE) as workers:
        outcomes = workers.map(lambda case: run(case, commits[case], running, store), cases)
        json.dump(list(outcomes), sys.stdout)


def product() -> Iterator[tuple[str, int, bool]]:
    """Yield every fault at every offset, once and for good."""
    for fault in FAULTS:
        for offset in OFFSETS:
            for lasts in (False, True):
                yield fault, offset, lasts


def run(case: Case, commit: str, running: RunningHub, store: Store) -> dict[str, Any]:
    """Download into the store's entry of the case's name, and return its outcome."""
    path = f"/acme/{case.name}/resolve/{commit}/{WEIGHTS}"
    for fault, count in FAULTS[case.fault](case.offset, None if case.lasts else 1):
        running.faults.add(fault, path, count=count)
    address = RepositoryAddress(f"acme/{case.name}", commit, running.endpoint)
    wanted = download_of(address, FILES, wait_seconds=0.05)
    outcome = "verified"
    try:
        store.make(case.name, lambda into: wanted.write(into, store.partial(case.name)))
    except SlipwayError as error:
        outcome = type(error).__name__
    asked = [one for one in running.requests if (one.method, one.path) == ("GET", path)]
    met = sum(order.met for order in running.faults.orders if order.path == path)
    return {**vars(case), "outcome": outcome, "requests": len(asked), "met": met}


Orders = Callable[[int, int | None], list[tuple[Fault, int | None]]]


def at(offset: int, spoil: Callable[[int], Fault]) -> Fault:
    """Spoil an answer from the file's byte ``offset`` on, wherever the answer begins."""

    def spoiled(answer: Answer) -> Answer:
        begins_at = SIZE_BYTES - len(answer.body)
        return spoil(max(offset - begins_at, 0))(answer)

    return spoiled


def reset(after_bytes: int) -> Fault:
    """Reset the connection after ``after_bytes`` of the body."""
    return lambda answer: replace(answer, interrupted_at=after_bytes, dropped="reset")


def other_byte(index: int) -> Fault:
    """Invert one byte of the body."""

    def spoil(answer: Answer) -> Answer:
        body = bytearray(answer.body)
        body[min(index, len(body) - 1)] ^= 0xFF
        return replace(answer, body=bytes(body))

    return spoil


def page_from(index: int) -> Fault:
    """Send the rest of the body as a web page."""

    def spoil(answer: Answer) -> Answer:
        page = html_page(answer).body[: len(answer.body) - index]
        return replace(answer, body=answer.body[:index] + page)

    return spoil


def direct(spoil: Callable[[int], Fault]) -> Orders:
    """Order a fault of the body."""
    return lambda offset, count: [(at(offset, spoil), count)]


def on_resuming(status: Callable[[int], Fault]) -> Orders:
    """Order an error for the request after a cut; at byte 0, for the first one."""

    def orders(offset: int, count: int | None) -> list[tuple[Fault, int | None]]:
        broken_off: list[tuple[Fault, int | None]] = [(cut(offset), 1)] if offset else []
        return [*broken_off, (status(offset), count)]

    return orders


FAULTS: dict[str, Orders] = {
    "connection reset": direct(reset),
    "stall": direct(lambda index: stall(60, index)),
    "short body": direct(cut),
    "500": on_resuming(lambda _: error_status(500)),
    "429 or 503": on_resuming(lambda offset: error_status((503, 429)[offset % 2], 1)),
    "other byte": direct(other_byte),
    "web page": direct(page_from),
}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
