"""The cost of telemetry and of routing in services with few and with many routes."""

from collections.abc import Callable

from bench.compare import WARM_UP_SECONDS, Rounds
from bench.processes import Stage

FEW, MANY = 10, 200
ARRANGEMENTS = {f"flat_{FEW}": FEW, f"flat_{MANY}": MANY, "nouns_40": -40}


def run(stage: Stage, say: Callable[[str], None], *, rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """By arrangement of the routes: the CPU microseconds of a request without telemetry and with ours, and the difference."""
    sink = stage.start_sink()
    servers = {
        (arrangement, wiring): stage.start_server(f"{wiring}-{arrangement}", sink, wiring, str(count))
        for arrangement, count in ARRANGEMENTS.items()
        for wiring in ("bare", "ours")
    }
    measured = {key: Rounds() for key in servers}
    for server in servers.values():
        Rounds().add(server, "/items/7", WARM_UP_SECONDS)
    for number in range(rounds):
        for (arrangement, wiring), server in servers.items():
            say(f"round {number + 1} of {rounds}: {arrangement}, {wiring}")
            measured[arrangement, wiring].add(server, "/items/7", seconds)
    result: dict[str, dict[str, float]] = {}
    for arrangement in ARRANGEMENTS:
        bare, ours = (measured[arrangement, wiring].medians()["cpu_us"] for wiring in ("bare", "ours"))
        result[arrangement] = {"bare_cpu_us": bare, "ours_cpu_us": ours, "telemetry_cpu_us": ours - bare}
    return result
