"""What a worker gives to its engine: a verified copy of the version's files.

The engine runs the version's wrapper, so it receives the copy and no credentials. A process of its
own makes the copy, since it imports MLflow's client, which is larger than the worker.
"""

import asyncio
from collections.abc import Awaitable, Callable

from slipway.serving.protocol import Load, Pointer
from slipway.settings import Settings
from slipway.system.call import call
from slipway.system.process import ProcessLimits
from slipway.tracking.verified_copy import CopyPlace, CopyRequest, VerifiedCopy, fetch

#: Name of the process that makes a copy, and of its row in the policy of secrets.
STEP = "fetch"

#: Returns what an engine is to load, anew for each start.
Source = Callable[[], Awaitable[Load]]


def source(pointer: Pointer, settings: Settings) -> Source:
    """Return the source of a version's verified copy.

    Awaiting it raises what ``verified_copy`` raises.
    """

    async def load() -> Load:
        return Load(files=await asyncio.to_thread(verified_copy, pointer, settings))

    return load


def verified_copy(pointer: Pointer, settings: Settings) -> VerifiedCopy:
    """Return a version's verified copy, made now if there is none.

    Raises:
        SlipwayError: As ``slipway.tracking.verified_copy.fetch`` does.
        StepFailed: If the process that makes it does.
    """
    if pointer.files:
        return pointer.files
    request = CopyRequest(place=CopyPlace.of(settings), name=pointer.model, version=pointer.version)
    limits = ProcessLimits(
        timeout_seconds=settings.load_timeout_seconds,
        memory_bytes=None,
        logs=settings.home.resolve() / "logs",
    )
    return call(fetch, request, limits, step=STEP).value
