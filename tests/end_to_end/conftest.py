"""The fixtures of the end-to-end tests: the stack that they drive, and the tenants that the journey creates on it.

By default the tests start a stack of their own. With SERVICES__AUTH … SERVICES__PERSONNEL set they use the stack that
runs there, and the tests that kill processes or read the stack's files are skipped.
"""

import os
import secrets
from collections.abc import Callable, Iterator

import pytest
from stack import postgres

from libs.journey import people, steps, story
from libs.journey.client import Actor, Answer, Api
from libs.journey.story import Tenant
from tests.end_to_end import stack as stacks
from tests.end_to_end.stack import Stack
from tests.fixtures import emitted


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, ready."""
    if urls := stacks.given_urls():
        yield Stack(urls)
        return
    own = stacks.create(tmp_path_factory.mktemp("stack"))
    try:
        for short in own.urls:
            own.start(short)
        own.wait_until_ready()
        yield own
        # Here, since this is all that the tests of this session have made it emit.
        emitted.must_be_named(own.facts())
    finally:
        own.stop()
        postgres.stop(own.server)
        postgres.remove(own.server)


@pytest.fixture(scope="session")
def own_stack(stack: Stack) -> Stack:
    """The stack, if the tests started it: its processes may be killed and its files read."""
    if stack.settings is None:
        pytest.skip("needs a stack that the tests start themselves, but SERVICES__… names a running one")
    return stack


@pytest.fixture(scope="session")
def answers() -> list[Answer]:
    """Every answer of the session, the latest last."""
    return []


@pytest.fixture(scope="session")
def api(stack: Stack, answers: list[Answer]) -> Iterator[Api]:
    """The public API."""
    api = Api(stack.urls, lambda answer, _: answers.append(answer))
    yield api
    api.close()


@pytest.fixture(scope="session")
def platform(stack: Stack, api: Api) -> Actor:
    """The platform's administrator, logged in."""
    return steps.log_in_to_platform(api, stack.settings.values if stack.settings else os.environ)


@pytest.fixture(scope="session")
def open_tenant(api: Api, platform: Actor) -> Callable[[int], Tenant]:
    """Play the journey of one more tenant: `open_tenant(seed)`."""
    return lambda seed: story.play(api, platform, people.company(seed, secrets.token_hex(3)))


@pytest.fixture(scope="session")
def tenant(open_tenant: Callable[[int], Tenant]) -> Tenant:
    """A tenant that has been through the whole journey."""
    return open_tenant(1)


@pytest.fixture(scope="session")
def other(open_tenant: Callable[[int], Tenant]) -> Tenant:
    """Another tenant that has been through it."""
    return open_tenant(2)
