"""Requires a key of each request, and answers as OpenAI's API does without one.

Errors: https://platform.openai.com/docs/guides/error-codes. Headers of the rate:
https://platform.openai.com/docs/guides/rate-limits. As with vLLM, ``/health`` needs no key.
"""

import math

from prometheus_client import Counter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slipway.serving.api_errors import ApiError
from slipway.serving.api_keys import UNKNOWN, ApiKey, Keyring
from slipway.serving.request_rate import RateState, RequestRates
from slipway.system.network import is_loopback

#: Paths for everybody: states without secrets, and static pages.
OPEN_PATHS = frozenset({"/", "/health", "/ready", "/openapi.json"})
#: Paths for everybody on this machine. Metrics name the owners of keys.
_LOCAL_PATHS = frozenset({"/metrics"})

_KEY = "slipway.key"
_SCHEME = b"bearer"


class KeyCheck:
    """An ASGI application that passes on requests with a valid key.

    Args:
        inner: Receives the requests; finds their key with ``key_of``.
        keyring: The keys. While it requires none, every request is passed on.
        rates: Counts the requests that generate; None leaves that to another server.
        counter: Counts responses by the owner of the key and by status; None leaves that too.
    """

    def __init__(
        self,
        inner: ASGIApp,
        keyring: Keyring,
        rates: RequestRates | None,
        counter: Counter | None,
    ) -> None:
        self._inner = inner
        self._keyring = keyring
        self._rates = rates
        self._counter = counter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if _is_open(scope) or not self._keyring.is_required:
            await self._inner(scope, receive, send)
            return
        key = self._keyring.find(_token(scope) or b"")
        state = self._take(key, scope) if key else None

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._count(key, message["status"])
                message["headers"] = [*message.get("headers", ()), *_rate_headers(state)]
            await send(message)

        if fault := _fault(scope, key, state):
            await fault.response()(scope, receive, send_counted)
            return
        scope[_KEY] = key
        await self._inner(scope, receive, send_counted)

    def _take(self, key: ApiKey, scope: Scope) -> RateState | None:
        if not self._rates or not key.requests_per_minute or scope["method"] != "POST":
            return None
        return self._rates.take(key.name, key.requests_per_minute)

    def _count(self, key: ApiKey | None, status: int) -> None:
        if self._counter:
            self._counter.labels(key.name if key else UNKNOWN, str(status)).inc()


def key_of(scope: Scope) -> ApiKey | None:
    """Return the key of a request; None if none was required."""
    found: ApiKey | None = scope.get(_KEY)
    return found


def require_allowed(scope: Scope, model: str) -> None:
    """Check that the key of a request may use a model.

    Raises:
        ApiError: 403 as OpenAI has it, if it may not.
    """
    key = key_of(scope)
    if key and not key.allows(model):
        text = f"key {key.name!r} does not have access to model {model!r:.80}"
        raise ApiError(403, text, param="model", code="model_not_found")


def new_counter() -> Counter:
    """Return the counter of a worker's responses."""
    return Counter(
        "slipway_serving_key_requests",
        "Responses, by the owner of the request's key",
        ["key", "status"],
        registry=None,
    )


def _is_open(scope: Scope) -> bool:
    path, client, server = scope["path"], scope.get("client"), scope.get("server")
    is_local = client and (is_loopback(client[0]) or (server and client[0] == server[0]))
    return path in OPEN_PATHS or (path in _LOCAL_PATHS and bool(is_local))


def _token(scope: Scope) -> bytes | None:
    """Return what follows ``Bearer`` in the request's only ``Authorization`` header, as bytes."""
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, token = values[0].strip().partition(b" ") if len(values) == 1 else (b"", b"", b"")
    token = token.strip()
    return token if scheme.lower() == _SCHEME and token else None


def _fault(scope: Scope, key: ApiKey | None, state: RateState | None) -> ApiError | None:
    if key is None:
        return _refused(scope)
    return _too_many(key, state) if state and state.wait_seconds else None


def _refused(scope: Scope) -> ApiError:
    if _token(scope) is None:
        text = (
            "You didn't provide an API key. Provide it in an Authorization header using Bearer "
            "auth (Authorization: Bearer YOUR_KEY). `slipway keys new NAME` makes one."
        )
        return ApiError(401, text, headers={"WWW-Authenticate": "Bearer"})
    text = "Incorrect API key provided. `slipway keys list` shows which keys there are."
    headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    return ApiError(401, text, code="invalid_api_key", headers=headers)


def _too_many(key: ApiKey, state: RateState) -> ApiError:
    text = (
        f"Rate limit reached for key {key.name!r} on requests per min (RPM): Limit {state.limit}. "
        f"Please try again in {_duration(state.wait_seconds)}."
    )
    headers = {
        "Retry-After": str(math.ceil(state.wait_seconds)),
        "Retry-After-Ms": str(math.ceil(state.wait_seconds * 1000)),
    }
    return ApiError(429, text, code="rate_limit_exceeded", headers=headers)


def _rate_headers(state: RateState | None) -> tuple[tuple[bytes, bytes], ...]:
    if state is None:
        return ()
    return (
        (b"x-ratelimit-limit-requests", b"%d" % state.limit),
        (b"x-ratelimit-remaining-requests", b"%d" % state.remaining),
        (b"x-ratelimit-reset-requests", _duration(state.full_seconds).encode()),
    )


def _duration(seconds: float) -> str:
    """Return a time as OpenAI writes it, such as ``6m0s``, ``1.25s`` or ``20ms``."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f}m{rest:.0f}s" if minutes else f"{rest:.2f}".rstrip("0").rstrip(".") + "s"
