"""One release of a model at a time, on all machines."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from prefect import get_run_logger

from tasks.context import registry


@contextmanager
def releasing(model: str) -> Iterator[None]:
    """Keep every other release of ``model`` out while the body runs; wait for one that runs.

    A run that waits keeps its place on its worker, and its log says so.
    """
    waits = f"another release of {model} is running; this one waits for its end"
    with registry().releasing(model, partial(get_run_logger().info, waits)):
        yield
