"""Calls to another service: deadline, retries with jitter, circuit breaker, the caller's token, the trace.

From the outside in: a place among the calls of this process, a deadline, the retries, the breaker, and one attempt with
its own time-outs. httpx2 is the maintained fork of httpx with the same interface; with twenty concurrent calls the pool of
httpx 0.28 uses three times as much CPU, because it examines every waiting call whenever one ends. Only this module imports
it.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from time import perf_counter
from typing import Any, NamedTuple, TypeVar, cast

import httpx2 as http
import orjson
import stamina
from prometheus_client import Counter, Enum, Histogram
from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import CLOSED, HALF_OPENED, OPENED, OpenedState

from libs.observability import get_logger
from libs.observability.traces.clients import URL_TEMPLATE
from libs.service_kit.errors import Unavailable
from libs.service_kit.settings import ServiceUrls

log = get_logger(__name__)
# Its own line of a retry does not say which service was called.
stamina.instrumentation.set_on_retry_hooks(())

DEADLINE_SECONDS = 3.0
# As many as the other service has database connections. Further calls would only wait there, and a call that waits too
# long there counts for the breaker. A call that waits here, at most for its deadline, does not.
CALLS_AT_ONCE = 10
ATTEMPTS = 3
BREAKER_FAILURES = 5
BREAKER_SECONDS = 10.0
JSON = "application/json"
# The longest answers are those to a batch of events.
LARGEST_ANSWER = 4 * 1024 * 1024
# uvicorn closes an idle connection after five seconds: a request must not be sent on one at that moment.
KEEPALIVE_SECONDS = 4.0

BREAKER_STATE = Enum(
    "circuit_breaker_state",
    "State of the circuit breaker towards another service",
    ["target"],
    states=[CLOSED, HALF_OPENED, OPENED],
)
OUTCOMES = ("ok", "refused", "failed", "short_circuit", "cancelled")
"""In this order: a usable answer; a 4xx; no usable answer in time; no call, since the breaker is open; the caller left."""
CALLS = Histogram(
    "service_call_duration_seconds",
    "Duration of calls to another service by outcome, all attempts together, in seconds",
    ["target", "outcome"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
RETRIES = Counter("service_call_retries_total", "Attempts to call another service after one that failed", ["target"])


class Refused(Exception):
    """The other service answered 4xx: its status and its problem document."""

    def __init__(self, status: int, document: dict[str, Any]) -> None:
        super().__init__(f"{status} {document.get('type')}")
        self.status = status
        self.document = document


class _Failed(Exception):
    """An unusable answer, which counts for the breaker and is retried: 5xx, a redirect, or a success without its JSON."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


Answer = TypeVar("Answer")
Read = Callable[[Any], Answer]
"""Returns what a caller needs from the JSON of an answer, which counts as unusable if that is not in it."""


class _Call(NamedTuple):
    method: str
    path: str
    route: str
    attempts: int
    read: Read[Any]


# Whatever httpx raises for a request: no connection, a broken answer, a body that cannot be decoded.
RETRIED = (http.RequestError, _Failed)


class ServiceClient:
    """A client of one service, used as `async with`. A process opens it once and shares its connections and breaker."""

    def __init__(
        self, target: str, base_url: str, deadline: float = DEADLINE_SECONDS, calls_at_once: int = CALLS_AT_ONCE
    ) -> None:
        """`deadline`: the seconds that a call may take, all attempts included, once it has one of the places."""
        self.target = target
        self._deadline = deadline
        self._places = asyncio.Semaphore(calls_at_once)
        self._http = http.AsyncClient(
            base_url=base_url,
            timeout=http.Timeout(deadline * 2 / 3, connect=0.5, pool=0.5),
            limits=http.Limits(keepalive_expiry=KEEPALIVE_SECONDS),
            # A TLS context takes 17 ms and 2 MB; plain HTTP needs none, and redirects are not followed.
            verify=base_url.startswith("https:"),
            # A proxy in the environment is for the web, and would get the caller's token.
            trust_env=False,
        )
        self._breakers = AsyncCircuitBreakerFactory(default_threshold=BREAKER_FAILURES, default_ttl=BREAKER_SECONDS)
        self._breakers.add_listener(self._show_state)
        BREAKER_STATE.labels(target).state(CLOSED)
        self._told = CLOSED
        RETRIES.labels(target)
        for outcome in OUTCOMES:
            CALLS.labels(target, outcome)

    def _show_state(self, name: str, kind: str, event: Any) -> None:
        if kind == "state_changed":
            BREAKER_STATE.labels(self.target).state(event.state)
            if event.state not in (HALF_OPENED, self._told):  # each trial that fails opens it once more
                self._told = event.state
                log.warning("circuit breaker changed", target=self.target, state=event.state)

    async def __aenter__(self) -> "ServiceClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def get(self, path: str, read: Read[Answer], *, route: str | None = None, token: str | None = None) -> Answer:
        """The answer to a GET. Raises `Refused` for a 4xx, `Unavailable` when no usable answer comes in time.

        `route` is the template of a path that has a variable part: `/api/v1/employees/{employee_id}`.
        """
        return await self._call(_Call("GET", path, route or path, ATTEMPTS, read), token)

    async def post(
        self, path: str, read: Read[Answer], *, token: str | None = None, json: Any = None, content_type: str = JSON
    ) -> Answer:
        """The answer to a POST, which is tried once, since it may not be idempotent. Raises as `get` does."""
        headers = {"content-type": content_type}
        return await self._call(_Call("POST", path, path, 1, read), token, json=json, headers=headers)

    async def _call(self, call: "_Call", token: str | None, **request: Any) -> Any:
        """Count, time and, if it fails, log a call."""
        headers = {**request.pop("headers", {}), **({"authorization": f"Bearer {token}"} if token else {})}
        started, outcome, tried = perf_counter(), "failed", 0
        try:
            async with self._place(), asyncio.timeout(self._deadline):
                async for attempt in stamina.retry_context(
                    on=RETRIED, attempts=call.attempts, wait_initial=0.05, wait_max=0.5, wait_jitter=0.1
                ):
                    tried = attempt.num
                    with attempt:
                        answer = await self._attempt(call, tried, headers=headers, **request)
                        outcome = "ok"
                        return answer
        except Refused:
            outcome = "refused"
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except (*RETRIED, OpenedState, TimeoutError) as error:
            if isinstance(error, OpenedState):
                outcome = "short_circuit"  # counted only: one line has said that the breaker opened
            else:
                log.warning("call failed", **self._facts(call, tried, error))
            raise Unavailable(
                f"The {self.target} service does not answer now.", headers={"Retry-After": "2"}
            ) from error
        finally:
            CALLS.labels(self.target, outcome).observe(perf_counter() - started)
        raise AssertionError("an attempt returns or raises")

    @asynccontextmanager
    async def _place(self) -> AsyncGenerator[None]:
        async with asyncio.timeout(self._deadline):
            await self._places.acquire()
        try:
            yield
        finally:
            self._places.release()

    async def _attempt(self, call: "_Call", number: int, **request: Any) -> Any:
        if number > 1:
            RETRIES.labels(self.target).inc()
        try:
            async with await self._breakers.get_breaker(self.target):
                status, content = await self._exchange(call, **request)
                if status < 400:
                    return _read(call.read, status, content)
                if status >= 500:
                    raise _Failed(status)
        except RETRIED as error:
            if number < call.attempts:
                log.warning("call is tried again", **self._facts(call, number, error))
            raise
        raise Refused(status, _problem(content))

    async def _exchange(self, call: "_Call", **request: Any) -> tuple[int, bytes]:
        """The status and the body of the answer. Of a body that is too long, the beginning, which is no JSON."""
        content = bytearray()
        extensions = {URL_TEMPLATE: call.route}
        async with self._http.stream(call.method, call.path, extensions=extensions, **request) as response:
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > LARGEST_ANSWER:
                    break
        return response.status_code, bytes(content)

    def _facts(self, call: "_Call", tried: int, error: Exception) -> dict[str, Any]:
        facts = {"target": self.target, "method": call.method, "route": call.route, "attempt": tried}
        if isinstance(error, _Failed):  # 200 is a success without the JSON that was asked for
            return {**facts, "status_code": error.status}
        return {**facts, "reason": type(error).__name__}


@asynccontextmanager
async def open_clients(
    urls: ServiceUrls, services: Iterable[str], deadline: float = DEADLINE_SECONDS
) -> AsyncGenerator[dict[str, ServiceClient]]:
    """A client of each of these services, by short name."""
    async with AsyncExitStack() as opened:
        yield {
            name: await opened.enter_async_context(ServiceClient(name, urls.of(name), deadline)) for name in services
        }


def _read(read: Read[Answer], status: int, content: bytes) -> Answer:
    """What the caller needs of a success. A proxy in between may answer with something else."""
    if not 200 <= status < 300:  # redirects are not followed
        raise _Failed(status)
    try:
        return read(orjson.loads(content))
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise _Failed(status) from error


def _problem(content: bytes) -> dict[str, Any]:
    """The problem document of a refusal, empty if there is none."""
    with suppress(ValueError):
        if isinstance(document := orjson.loads(content), dict):
            return cast("dict[str, Any]", document)
    return {}
