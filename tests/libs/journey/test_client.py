"""The client of the journey against a server of the tests: what it repeats, what it raises, what it tells."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import pytest
from stack.ports import free_port

from libs.journey.client import Actor, Answer, Api, UnexpectedAnswer, Unreachable, urls

Reply = tuple[int, Any]
DROP = (0, None)
"""In the place of an answer: the connection ends."""


@pytest.fixture
def served() -> Iterator[tuple[Api, list[Reply], list[dict[str, Any]]]]:
    """An `Api` of a server that gives these replies in turn, the last one for ever; and what it was asked."""
    replies: list[Reply] = []
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            asked.append({"path": self.path, "body": body, **{k.lower(): v for k, v in self.headers.items()}})
            status, document = replies.pop(0) if len(replies) > 1 else replies[0]
            if not status:
                return
            self.send_response(status)
            self.send_header("etag", '"3"')
            self.end_headers()
            self.wfile.write((document if isinstance(document, str) else json.dumps(document)).encode())

        do_GET = do_POST = do_PATCH = answer

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    api = Api(dict.fromkeys(urls({}), f"http://127.0.0.1:{server.server_port}"))
    yield api, replies, asked
    api.close()
    server.shutdown()
    server.server_close()


def test_an_answer_carries_the_trace_that_was_sent(served):
    api, replies, asked = served
    replies.append((200, {"id": 1}))
    answer = api.call("budget", "GET", "/things")
    assert (answer.status, answer.body, answer.etag) == (200, {"id": 1}, '"3"')
    assert asked[0]["traceparent"].split("-")[1] == answer.trace_id
    assert asked[0]["traceparent"].endswith("-01")


def test_the_page_of_a_proxy_is_the_body_of_an_unexpected_answer(served):
    api, replies, _ = served
    replies.append((502, "<html>Bad Gateway</html>"))
    with pytest.raises(UnexpectedAnswer, match=r"answered 502 .+<html>Bad Gateway</html>"):
        api.call("budget", "GET", "/things")


@pytest.mark.parametrize(
    ("status", "is_passing"), [(401, False), (408, True), (409, False), (429, True), (499, False), (500, True)]
)
def test_an_answer_says_whether_it_is_passing(served, status, is_passing):
    api, replies, _ = served
    replies.append((status, {}))
    with pytest.raises(UnexpectedAnswer) as refused:
        api.call("auth", "POST", "/login", json={})
    assert refused.value.is_passing == is_passing


def test_no_proxy_of_the_environment_gets_a_call(served, monkeypatch):
    api, replies, asked = served
    replies.append((200, {}))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    assert Api(api.urls).call("budget", "GET", "/things").status == 200
    assert len(asked) == 1


def test_a_503_is_repeated_with_the_same_key(served):
    api, replies, asked = served
    replies += [(503, {}), (503, {}), (201, {"id": 1})]
    assert api.call("budget", "POST", "/things", json={}, key="k", expect=201).status == 201
    assert [each["idempotency-key"] for each in asked] == ["k", "k", "k"]


def test_who_may_try_once_gets_the_first_answer(served):
    api, replies, asked = served
    replies += [(503, {}), (200, {})]
    trying = Api(api.urls, attempts=1, user_agent="a-probe")
    with pytest.raises(UnexpectedAnswer, match="answered 503"):
        trying.call("budget", "GET", "/things")
    trying.close()
    assert [each["user-agent"] for each in asked] == ["a-probe"]


def test_a_route_has_no_ids(served):
    api, replies, _ = served
    replies.append((200, {}))
    answer = api.call("budget", "GET", f"/things/{uuid4()}/parts")
    assert answer.route == "/things/{id}/parts"


def test_a_connection_that_ends_is_repeated_only_where_that_is_harmless(served):
    api, replies, asked = served
    replies += [DROP, (200, {})]
    assert api.call("budget", "GET", "/things").status == 200
    assert len(asked) == 2
    replies[:] = [DROP, (200, {})]
    with pytest.raises(Unreachable, match=r"POST .*/things"):
        api.call("budget", "POST", "/things", json={})
    assert len(asked) == 3


def test_an_unexpected_answer_names_the_call_and_the_trace(served):
    api, replies, _ = served
    replies.append((409, {"type": "/problems/budget-exceeded"}))
    with pytest.raises(UnexpectedAnswer, match=r"budget answered 409 instead of 200 to POST /things.*trace") as caught:
        api.call("budget", "POST", "/things", expect=200)
    assert caught.value.answer.problem == "budget-exceeded"
    assert api.call("budget", "POST", "/things", expect=409).problem == "budget-exceeded"


def test_a_listener_hears_of_every_answer_and_its_error(served):
    api, replies, _ = served
    heard: list[tuple[int, bool]] = []
    listening = Api(api.urls, lambda answer, error: heard.append((answer.status, error is None)))
    replies += [(200, {}), (404, {})]
    listening.call("auth", "GET", "/a")
    with pytest.raises(UnexpectedAnswer):
        listening.call("auth", "GET", "/b")
    listening.close()
    assert heard == [(200, True), (404, False)]


def test_an_actor_renews_the_token_before_it_ends(served):
    api, replies, asked = served
    login = {"access_token": "first", "refresh_token": "r1", "expires_in": 0}
    actor = Actor(api, "Alice", Answer("auth", "POST", "/login", 200, login, {}, "0" * 32, 0.0))
    replies += [(200, {"access_token": "second", "refresh_token": "r2", "expires_in": 900}), (200, {})]
    actor.get("budget", "/things")
    actor.get("budget", "/things")
    assert [each["path"] for each in asked] == ["/api/v1/auth/refresh", "/things", "/things"]
    assert json.loads(asked[0]["body"]) == {"refresh_token": "r1"}
    assert {each.get("authorization") for each in asked[1:]} == {"Bearer second"}


def test_a_stack_that_is_not_up_is_said_in_words():
    api = Api({"auth": f"http://127.0.0.1:{free_port()}"})
    with pytest.raises(Unreachable, match=r"auth-service does not answer at .*: start the stack with `make up`"):
        api.check_ready()
    api.close()


def test_urls_come_from_the_environment():
    assert urls({})["budget"] == "http://127.0.0.1:3010"
    assert urls({"SERVICES__BUDGET": "http://budget:1/"})["budget"] == "http://budget:1"


@pytest.mark.parametrize(
    "url", ["", " ", "x", "ftp://h", "http://h/a", "http://h?q", "http://u:p@h", "http://h:x", "http://"]
)
def test_a_wrong_url_ends_the_program_with_one_line_that_names_the_variable(url):
    with pytest.raises(SystemExit, match=r"^SERVICES__BUDGET: must be http://HOST:PORT[^\n]*$"):
        urls({"SERVICES__BUDGET": url})
