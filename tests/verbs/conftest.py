"""The folder and the ports of the stack of a module, which is removed after its tests."""

from collections.abc import Iterator

import pytest

from tests.fixtures.local_stack import environment_of, verb


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of the verbs."""
    environment = environment_of(tmp_path_factory.mktemp("stack"))
    yield environment
    verb(environment, "clean")
