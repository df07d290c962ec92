"""A port is free or is not, and the process that holds it is named."""

import os
import socket
from collections.abc import Iterator

import pytest
from stack import ports


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_taken_port_names_its_process(listener):
    assert not ports.is_free(listener)
    assert f"(process {os.getpid()})" in ports.holder(listener)


def test_a_taken_udp_port_names_its_process():
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        assert not ports.is_free(port, socket.SOCK_DGRAM)
        assert f"(process {os.getpid()})" in ports.holder(port, socket.SOCK_DGRAM)


def test_a_client_of_a_port_does_not_hold_it(listener):
    with socket.create_connection(("127.0.0.1", listener)) as client:
        own_port = client.getsockname()[1]
        assert str(os.getpid()) not in ports.holder(own_port)


def test_a_port_is_free_when_nobody_listens():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    assert ports.is_free(port)
