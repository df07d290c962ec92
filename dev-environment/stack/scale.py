"""What `SCALE` means: how many run of each service."""

from stack.errors import SettingError
from stack.services import SERVICES

# HAProxy has as many places for each (haproxy/haproxy.cfg).
MOST = 10


def replicas(given: str) -> dict[str, int]:
    """How many there are to be of each service, by its name: of one that is not named, one. Nothing if nothing is given.

    `given` is a number for all five, or words like `budget=2`; `SettingError` if it is neither.
    """
    words = given.replace(",", " ").split()
    shorts = {name: service.name for service in SERVICES for name in (service.short, service.name)}
    if len(words) == 1 and words[0].isdecimal():
        pairs = [(name, words[0]) for name in shorts.values()]
    else:
        pairs = [(shorts.get(name, ""), number) for name, _, number in (each.partition("=") for each in words)]
    if not all(name and number.isdecimal() and 1 <= int(number) <= MOST for name, number in pairs):
        raise SettingError(
            f"SCALE must be a number from 1 to {MOST} for all services, or words like budget=2 with one of "
            f"{', '.join(service.short for service in SERVICES)}, not {given!r}."
        )
    return dict.fromkeys(shorts.values(), 1) | {name: int(number) for name, number in pairs} if words else {}
