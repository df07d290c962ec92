"""Calls to another service: deadline, retries with jitter, circuit breaker, the caller's token, the trace.

From the outside in: a place among the calls of this process, a deadline, the retries, the breaker, and one attempt with
its own time-outs. httpx2 is the maintained fork of httpx with the same interface; with twenty concurrent calls the pool of
httpx 0.28 uses three times as much CPU, because it examines every waiting call whenever one ends. Only this module and
`answers` import it.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from time import perf_counter
from typing import Any, NamedTuple

import httpx2 as http
import stamina
from prometheus_client import Counter, Enum, Histogram

from libs.observability import get_logger
from libs.observability.traces.clients import URL_TEMPLATE
from libs.service_kit.answers import RETRIED, Answer, Failed, Read, Refused, is_theirs, read_answer
from libs.service_kit.breaker import CLOSED, HALF_OPENED, OPENED, Breaker, Opened
from libs.service_kit.errors import Unavailable
from libs.service_kit.lateness import Lateness
from libs.service_kit.settings import ServiceUrls
from libs.service_kit.shares import TENANT, Overloaded, Shares

log = get_logger(__name__)
# Its own line of a retry does not say which service was called.
stamina.instrumentation.set_on_retry_hooks(())

DEADLINE_SECONDS = 3.0
# As many as the other service has database connections: further calls would only wait there, and be its failure. Here
# each tenant's calls wait in a line of their own, for half of the deadline at most.
CALLS_AT_ONCE = 10
ATTEMPTS = 3
LATE_SHARE = 0.5
"""If the event loop was late for this share of an attempt, its time-out says nothing about the other side."""
JSON = "application/json"
# The longest answers are those to a batch of events.
LARGEST_ANSWER = 4 * 1024 * 1024
# A request must not be sent on an idle connection while the service closes it: after 30 seconds, or when its drain ends.
KEEPALIVE_SECONDS = 4.0

BREAKER_STATE = Enum(
    "circuit_breaker_state",
    "State of the circuit breaker towards another service",
    ["target"],
    states=[CLOSED, HALF_OPENED, OPENED],
)
OUTCOMES = ("ok", "refused", "failed", "short_circuit", "busy", "cancelled")
"""In this order: a usable answer; a refusal; no usable answer in time; no call, since the breaker is open; no call,
since too many wait to make one; the caller left."""
CALLS = Histogram(
    "service_call_duration_seconds",
    "Duration of calls to another service by outcome, all attempts together, in seconds",
    ["target", "outcome"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
RETRIES = Counter("service_call_retries_total", "Attempts to call another service after one that failed", ["target"])


class _Call(NamedTuple):
    method: str
    path: str
    route: str
    attempts: int
    read: Read[Any]


class ServiceClient:
    """A client of one service, used as `async with`. A process opens it once and shares its connections and breaker."""

    def __init__(
        self, target: str, base_url: str, deadline: float = DEADLINE_SECONDS, calls_at_once: int = CALLS_AT_ONCE
    ) -> None:
        """`deadline`: the seconds that a call may take, all attempts included, once it has one of the places."""
        self.target = target
        self._deadline = deadline
        self._shares = Shares(target, calls_at_once, deadline / 2)
        self._http = http.AsyncClient(
            base_url=base_url,
            # Nobody waits for a connection there: whoever has a place gets one.
            timeout=http.Timeout(deadline * 2 / 3, connect=0.5, pool=None),
            limits=http.Limits(max_connections=None, keepalive_expiry=KEEPALIVE_SECONDS),
            # A TLS context takes 17 ms and 2 MB; plain HTTP needs none, and redirects are not followed.
            verify=base_url.startswith("https:"),
            # A proxy in the environment is for the web, and would get the caller's token.
            trust_env=False,
        )
        self._breaker = Breaker(self._show_state)
        self._lateness = Lateness()
        BREAKER_STATE.labels(target).state(CLOSED)
        self._told = CLOSED
        RETRIES.labels(target)
        for outcome in OUTCOMES:
            CALLS.labels(target, outcome)

    def _show_state(self, state: str) -> None:
        BREAKER_STATE.labels(self.target).state(state)
        if state not in (HALF_OPENED, self._told):  # each trial that fails opens it once more
            self._told = state
            log.warning("circuit breaker changed", target=self.target, state=state)

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

    async def _call(self, call: _Call, token: str | None, **request: Any) -> Any:
        """Count, time and, if it fails, log a call."""
        headers = {**request.pop("headers", {}), **({"authorization": f"Bearer {token}"} if token else {})}
        started, outcome, tried = perf_counter(), "failed", 0
        try:
            async with self._shares.place(TENANT.get()), asyncio.timeout(self._deadline) as deadline:
                async for attempt in stamina.retry_context(
                    on=RETRIED, attempts=call.attempts, wait_initial=0.05, wait_max=0.5, wait_jitter=0.1
                ):
                    tried = attempt.num
                    with attempt:
                        answer = await self._attempt(call, tried, deadline, headers=headers, **request)
                        outcome = "ok"
                        return answer
        except Refused:
            outcome = "refused"
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except Overloaded:
            outcome = "busy"
            raise
        except (*RETRIED, Opened, TimeoutError) as error:
            if isinstance(error, Opened):
                outcome = "short_circuit"  # counted only: one line has said that the breaker opened
            else:
                log.warning("call failed", **self._facts(call, tried, error))
            raise Unavailable(
                f"The {self.target} service does not answer now.", headers={"Retry-After": "2"}
            ) from error
        finally:
            CALLS.labels(self.target, outcome).observe(perf_counter() - started)
        raise AssertionError("an attempt returns or raises")

    async def _attempt(self, call: _Call, number: int, deadline: asyncio.Timeout, **request: Any) -> Any:
        if number > 1:
            RETRIES.labels(self.target).inc()
        is_trial, began = self._breaker.admit(), perf_counter()
        with self._lateness.watched() as lost:
            try:
                answer = read_answer(call.read, *await self._exchange(call, **request))
            except Refused:
                self._breaker.answered()
                raise
            except BaseException as error:
                if is_theirs(error, lost() > LATE_SHARE * (perf_counter() - began), deadline):
                    self._breaker.failed(is_trial)
                else:
                    self._breaker.left(is_trial)
                if isinstance(error, RETRIED) and number < call.attempts:
                    log.warning("call is tried again", **self._facts(call, number, error))
                raise
        self._breaker.answered()
        return answer

    async def _exchange(self, call: _Call, **request: Any) -> tuple[int, bytes]:
        """The status and the body of the answer. Of a body that is too long, the beginning, which is no JSON."""
        content = bytearray()
        extensions = {URL_TEMPLATE: call.route}
        async with self._http.stream(call.method, call.path, extensions=extensions, **request) as response:
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > LARGEST_ANSWER:
                    break
        return response.status_code, bytes(content)

    def _facts(self, call: _Call, tried: int, error: Exception) -> dict[str, Any]:
        facts = {"target": self.target, "method": call.method, "route": call.route, "attempt": tried}
        if isinstance(error, Failed):  # 200 is a success without the JSON that was asked for
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


def unanswered(target: str, route: str, refused: Refused) -> Unavailable:
    """What to raise when a service refuses a question that is asked for a caller, with the caller's token.

    It is usually not the caller's fault; if their token has expired meanwhile, their next request is answered 401 here.
    """
    log.warning("a question was refused", target=target, route=route, status_code=refused.status)
    return Unavailable(f"The {target} service does not answer this question now.", headers={"Retry-After": "2"})
