"""Load from a few keep-alive connections with one request in flight each: by wrk where it is installed, else by our own client.

Our own client costs about ten microseconds per request, a tenth of what the fastest server here needs. It waits for the
last responses before it ends; wrk closes their connections.
"""

import re
import selectors
import shutil
import socket
import subprocess
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

USER_AGENT = "bench"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class LoadError(Exception):
    """The server did not respond as expected."""


@dataclass(frozen=True)
class Load:
    """What the client measured in one round."""

    answers: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def rps(self) -> float:
        """Responses per second."""
        return self.answers / self.seconds


def name() -> str:
    """The name of the client that makes the load."""
    return "wrk" if shutil.which("wrk") else "own raw-socket client"


def is_exact() -> bool:
    """Whether the client counts every request that the server answers."""
    return shutil.which("wrk") is None


def load(port: int, path: str, *, connections: int, seconds: float) -> Load:
    """Request `path` until `seconds` have passed. Raises `LoadError` for any status but 200."""
    if shutil.which("wrk") and seconds >= 1:
        return _wrk(port, path, connections, round(seconds))
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: {USER_AGENT}\r\n\r\n".encode()
    return send(port, lambda: request, connections=connections, seconds=seconds)


def send(port: int, make: Callable[[], bytes], *, connections: int, seconds: float, status: int = 200) -> Load:
    """Send the requests that `make` returns, with our own client, until `seconds` have passed. Raises `LoadError` for any other
    status than `status`."""
    latencies = array("d")
    with selectors.DefaultSelector() as waiting:
        for _ in range(connections):
            connection = _Connection(port, status)
            waiting.register(connection.socket, selectors.EVENT_READ, connection)
        begun = perf_counter()
        deadline = begun + seconds
        for key in list(waiting.get_map().values()):
            key.data.ask(make())
        open_connections = connections
        while open_connections:
            ready = waiting.select(10)
            if not ready:
                raise LoadError("no response within ten seconds")
            for key, _ in ready:
                connection: _Connection = key.data
                if not connection.read():
                    continue
                now = perf_counter()
                latencies.append(now - connection.asked_at)
                if now < deadline:
                    connection.ask(make())
                else:
                    waiting.unregister(connection.socket)
                    connection.socket.close()
                    open_connections -= 1
        return _summary(latencies, perf_counter() - begun)


class _Connection:
    __slots__ = ("_expected", "asked_at", "received", "socket")

    def __init__(self, port: int, status: int) -> None:
        self._expected = f"HTTP/1.1 {status}".encode()
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.asked_at = 0.0

    def ask(self, request: bytes) -> None:
        self.asked_at = perf_counter()
        self.socket.sendall(request)

    def read(self) -> bool:
        """Read what has arrived; returns whether the response is complete."""
        data = self.socket.recv(65536)
        if not data:
            raise LoadError("the server has closed the connection")
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator:
            return False
        length = LENGTH.search(head)
        if length is None or not head.startswith(self._expected):
            raise LoadError(self.received[:500].decode("latin-1"))
        if len(body) < int(length[1]):
            return False
        self.received = b""
        return True


def _summary(latencies: "array[float]", seconds: float) -> Load:
    ordered = sorted(latencies)
    at = [ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000 for share in (0.5, 0.99)]
    return Load(len(ordered), seconds, *at)


WRK_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def _wrk(port: int, path: str, connections: int, seconds: int) -> Load:
    command = ["wrk", "--latency", "-t1", f"-c{connections}", f"-d{seconds}s", "-H", f"User-Agent: {USER_AGENT}"]
    url = f"http://127.0.0.1:{port}{path}"
    done = subprocess.run([*command, url], capture_output=True, text=True, check=False)
    if done.returncode or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise LoadError(done.stdout + done.stderr)
    return parse_wrk(done.stdout)


def parse_wrk(report: str) -> Load:
    """The figures in wrk's report."""
    total = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)", report)
    latencies = {share: float(value) * WRK_UNITS[unit] for share, value, unit in
                 re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", report)}  # fmt: skip
    if total is None:
        raise LoadError(report)
    seconds = float(total[2]) * (60 if total[3] == "m" else WRK_UNITS[total[3]] / 1000)
    return Load(int(total[1]), seconds, latencies["50"], latencies["99"])
