"""One look at the sources of a thousand entries on a local Hub, against a bare client."""

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

import httpx

from benchmarks.figure import Figure, Measured, Sample, at_most
from benchmarks.measure import environment, interleaved, seconds
from slipway.settings import PROJECT
from slipway.values import Entry, LastSeen, SourceState
from slipway.watch import poll

ROUNDS, QUICK_ROUNDS = 5, 1
ENTRIES, QUICK_ENTRIES = 1000, 20


def measure(work: Path, quick: bool) -> Figure:
    """Poll every source and ask for every head with a bare client, in turn."""
    entries = QUICK_ENTRIES if quick else ENTRIES
    with _hub(work / "hub", entries) as hub:
        followed = [_entry(hub.endpoint, number) for number in range(entries)]
        first, first_requests = hub.counted(lambda: poll.poll(followed, {}))
        states = [each for each in poll.poll(followed, {}) if isinstance(each, SourceState)]
        if len(states) != entries:
            raise SystemExit("the local Hub did not answer for every entry")
        known: dict[str, LastSeen] = {each.model: each.now for each in states}
        _, requests = hub.counted(lambda: poll.poll(followed, known))
        ways = {
            "poll": lambda: seconds(lambda: poll.poll(followed, known)),
            "bare": lambda: seconds(lambda: _bare(hub.endpoint, entries)),
        }
        found = interleaved(ways, QUICK_ROUNDS if quick else ROUNDS)
    again = Measured(
        name=f"watch of {entries:,} sources, nothing changed",
        unit="s",
        value=found["poll"],
        floor=found["bare"],
        floor_name=f"one request for each head, {poll.WORKERS} at a time, with httpx",
        bars=(at_most(1.3),),
    )
    each = Measured(
        name="requests of a watch for each source, nothing changed",
        unit="requests",
        value=Sample.of(requests / entries),
        bars=(at_most(2, of="value"),),
    )
    before = Measured(name=f"first watch of {entries:,} sources", unit="s", value=Sample.of(first))
    note = (
        f"The Hub runs in another process of this machine. The first look resolves each source "
        f"({first_requests / entries:.1f} requests each). The bare client only asks for the head. "
        "What the flow does afterwards with MLflow and Prefect is not in these figures."
    )
    return Figure(name="watch", measured=(again, each, before), notes=(note,))


class _Hub:
    """A local Hub in another process, which says how many requests it had."""

    def __init__(self, process: "Popen[str]") -> None:
        self._process = process
        self.endpoint = self._line()

    def counted(self, run: Callable[[], object]) -> tuple[float, int]:
        """Return the seconds of a function, and the requests that it made."""
        before = self._requests()
        taken = seconds(run)
        return taken, self._requests() - before

    def _requests(self) -> int:
        assert self._process.stdin  # noqa: S101 - it is a pipe
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._line())

    def _line(self) -> str:
        assert self._process.stdout  # noqa: S101 - it is a pipe
        return self._process.stdout.readline().strip()


@contextmanager
def _hub(folder: Path, entries: int) -> Iterator[_Hub]:
    command = [sys.executable, "-m", "benchmarks.figures.watch", str(folder), str(entries)]
    process = Popen(command, cwd=PROJECT, env=environment({}), stdin=PIPE, stdout=PIPE, text=True)
    try:
        yield _Hub(process)
    finally:
        process.communicate()


def _serve(folder: Path, entries: int) -> None:
    """Serve repositories until the standard input ends; print how many requests there were."""
    from tests.support.acme_models import NEEDED
    from tests.support.hub import LocalHub

    hub = LocalHub(folder)
    for number in range(entries):
        hub.push(_repo(number), NEEDED)
    with hub.serve() as running:
        print(running.endpoint, flush=True)
        for _ in sys.stdin:
            print(len(running.requests), flush=True)


def _repo(number: int) -> str:
    return f"acme/model-{number}"


def _entry(endpoint: str, number: int) -> Entry:
    document = {
        "name": f"model-{number}",
        "title": "A model",
        "source": {"kind": "hub", "repo": _repo(number), "endpoint": endpoint},
        "recipe": {"kind": "quantize", "candidates": [{"precision": "int8"}]},
        "licenses": ["mit"],
    }
    return Entry.model_validate_json(json.dumps(document))


def _bare(endpoint: str, entries: int) -> None:
    """Ask for the head of every repository, as many at a time as the watch does."""
    # The Hub closes what is idle for 5 s, which is when httpx would still use it.
    limits = httpx.Limits(keepalive_expiry=1)
    with (
        httpx.Client(base_url=endpoint, limits=limits) as client,
        ThreadPoolExecutor(poll.WORKERS) as workers,
    ):
        paths = (
            f"/api/models/{_repo(number)}/revision/main?expand=sha" for number in range(entries)
        )
        for answer in workers.map(client.get, paths):
            answer.raise_for_status()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]))
