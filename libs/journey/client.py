"""Calls of the public API. Each call has a trace with a known id, and is retried where repeating it is harmless."""

import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import stamina
from opentelemetry import trace

from libs.observability.traces.clients import URL_TEMPLATE
from libs.services import PORTS

TIMEOUT_SECONDS = 15.0
ATTEMPTS = 8
"""With pauses that grow to two seconds, these take longer than the restart of a service that was killed."""
BASE_URL = re.compile(r"https?://[^/?#@\s:]+(:\d{1,5})?")
IDENTIFIER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def urls(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The base URLs of the services: `SERVICES__AUTH` and so on, or the default ports of this machine.

    Ends the program with one line that names the variable if its value is no base URL.
    """
    given = os.environ if environment is None else environment
    found: dict[str, str] = {}
    for name, port in PORTS.items():
        variable = f"SERVICES__{name.upper()}"
        found[name] = given.get(variable, f"http://127.0.0.1:{port}").removesuffix("/")
        if not BASE_URL.fullmatch(found[name]):
            raise SystemExit(f"{variable}: must be http://HOST:PORT, without a path, a query or a user")
    return found


@dataclass(frozen=True)
class Answer:
    """The answer to one call, and the trace of the call."""

    service: str
    method: str
    path: str
    status: int
    body: Any
    """The parsed JSON, or the text where it is none, as a proxy's page; None where there is nothing."""
    headers: Mapping[str, str]
    trace_id: str
    seconds: float

    @property
    def route(self) -> str:
        """The path with `{id}` in the place of each id."""
        return route(self.path)

    @property
    def etag(self) -> str:
        """The version of the resource, to be sent as `If-Match`; empty when the answer has none."""
        return self.headers.get("etag", "")

    @property
    def problem(self) -> str:
        """The last part of a problem's type, such as `budget-exceeded`; empty for anything else."""
        return str(self.body.get("type", "")).rpartition("/")[2] if isinstance(self.body, dict) else ""  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]


def route(path: str) -> str:
    """A path with `{id}` in the place of each id."""
    return IDENTIFIER.sub("{id}", path)


class UnexpectedAnswer(Exception):
    """An answer with another status than the call expects."""

    def __init__(self, answer: Answer, expected: str) -> None:
        super().__init__(
            f"{answer.service} answered {answer.status} instead of {expected} to {answer.method} {answer.path}: "
            f"{answer.body} (trace {answer.trace_id})"
        )
        self.answer = answer
        self.service = answer.service

    @property
    def is_passing(self) -> bool:
        """Whether the same call may succeed later, without anybody doing something about it."""
        return self.answer.status >= 500 or self.answer.status in (408, 429)


class Unreachable(Exception):
    """A service does not answer at all."""

    def __init__(self, service: str, message: str) -> None:
        super().__init__(message)
        self.service = service


class _Passing(Exception):
    """An answer of 503: nothing was done, and the same call may succeed later."""


Listener = Callable[[Answer, Exception | None], None]
"""Called with every answer, and with the exception that the caller will get, if any."""


class Api:
    """The public API of a running stack, for a caller without a token; an `Actor` has one.

    `urls`: base URLs by short name. `listener`: called with every answer. `attempts`: how often a call is sent at most.
    Safe to share between threads.
    """

    def __init__(
        self,
        urls: Mapping[str, str],
        listener: Listener | None = None,
        *,
        attempts: int = ATTEMPTS,
        timeout: float = TIMEOUT_SECONDS,
        user_agent: str = "all-erp-journey",
    ) -> None:
        self.urls = urls
        self._listener = listener
        self._attempts = attempts
        # A proxy is for the web.
        self._http = httpx.Client(timeout=timeout, trust_env=False, headers={"user-agent": user_agent})

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def check_ready(self) -> None:
        """Raise `Unreachable`, with advice for the user, unless all five services are ready."""
        for service, url in self.urls.items():
            try:
                status = self._http.get(f"{url}/health/ready").status_code
            except httpx.HTTPError:
                raise Unreachable(
                    service, f"{service}-service does not answer at {url}: start the stack with `make up`"
                ) from None
            if status != 200:
                raise Unreachable(service, f"{service}-service at {url} is not ready ({status}): look at `make status`")

    def call(
        self,
        service: str,
        method: str,
        path: str,
        *,
        expect: int | None = None,
        token: str | None = None,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        key: str | None = None,
        if_match: str | None = None,
    ) -> Answer:
        """Send a request and return its answer.

        `expect` is the expected status, any 2xx if None. Raises `UnexpectedAnswer` for another status, `Unreachable`
        when there is no answer. `key` is sent as `Idempotency-Key`.
        """
        current = trace.get_current_span().get_span_context()
        trace_id = trace.format_trace_id(current.trace_id) if current.is_valid else secrets.token_hex(16)
        optional = {"authorization": f"Bearer {token}" if token else None, "idempotency-key": key, "if-match": if_match}
        headers = {name: value for name, value in optional.items() if value}
        # In a trace of the caller's own, the instrumentation of httpx replaces this header.
        headers["traceparent"] = f"00-{trace_id}-{secrets.token_hex(8)}-01"
        started = time.perf_counter()
        response = self._send(service, method, path, key is not None, headers=headers, json=json, params=params)
        answer = Answer(
            service,
            method,
            path,
            response.status_code,
            _body(response),
            response.headers,
            trace_id,
            time.perf_counter() - started,
        )
        fits = answer.status == expect if expect else 200 <= answer.status < 300
        error = None if fits else UnexpectedAnswer(answer, str(expect or "2xx"))
        if self._listener:
            self._listener(answer, error)
        if error:
            raise error
        return answer

    def _send(self, service: str, method: str, path: str, has_key: bool, **request: Any) -> httpx.Response:
        # A request that was never sent or was answered 503 may be repeated. One that broke off halfway may be repeated
        # only if it is idempotent.
        harmless = method == "GET" or has_key
        repeated = (_Passing, httpx.TransportError if harmless else httpx.ConnectError)
        try:
            for attempt in stamina.retry_context(on=repeated, attempts=self._attempts, wait_initial=0.1, wait_max=2.0):
                with attempt:
                    template = {URL_TEMPLATE: route(path)}
                    response = self._http.request(method, self.urls[service] + path, extensions=template, **request)
                    if response.status_code == 503 and attempt.num < self._attempts:
                        raise _Passing
                    return response
        except httpx.TransportError as error:
            what = f"{method} {self.urls[service]}{path}: {type(error).__name__}: {error}"
            raise Unreachable(service, what) from error
        raise AssertionError("an attempt returns or raises")


def _body(response: httpx.Response) -> Any:
    try:
        return response.json() if response.content else None
    except ValueError:
        return response.text


class Actor:
    """A user who has logged in. The access token is renewed with the refresh token after 80 % of its life."""

    def __init__(self, api: Api, name: str, login: Answer) -> None:
        self.api = api
        self.name = name
        self.login = login
        """The answer to the login."""
        self.take(login)

    def take(self, answer: Answer) -> Answer:
        """Go on with the tokens of this answer, and return it."""
        self.token: str = answer.body["access_token"]
        self.refresh_token: str = answer.body["refresh_token"]
        self._renew_at = time.monotonic() + answer.body["expires_in"] * 0.8
        return answer

    def renew(self) -> Answer:
        """Trade the refresh token for new tokens; the old one must not be used again."""
        return self.take(
            self.api.call("auth", "POST", "/api/v1/auth/refresh", json={"refresh_token": self.refresh_token})
        )

    def fresh_token(self) -> str:
        """The access token, renewed if most of its life is over."""
        if time.monotonic() > self._renew_at:
            self.renew()
        return self.token

    def call(self, service: str, method: str, path: str, **request: Any) -> Answer:
        """As `Api.call`, with this user's token."""
        return self.api.call(service, method, path, token=self.fresh_token(), **request)

    def get(self, service: str, path: str, **request: Any) -> Answer:
        """Send a GET."""
        return self.call(service, "GET", path, **request)

    def create(self, service: str, path: str, json: Mapping[str, Any], **request: Any) -> Answer:
        """Send a POST that creates a resource; its key makes it safe to retry."""
        return self.call(service, "POST", path, json=json, key=str(uuid4()), **{"expect": 201, **request})
