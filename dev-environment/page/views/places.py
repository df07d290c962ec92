"""Where the nodes of the map stand, and the texts beside its curves: none covers another if there is room."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from stack.services import SERVICES

Place = tuple[float, float]

# Half of the ellipse of the services.
ACROSS, UP = 330.0, 175.0
LINE, LETTER, NAME_LETTER = 13.0, 5.4, 6.4
NODE, SMALL_NODE = 26, 14
# Nobody could read more.
MOST_TEXTS = 80
# A text may stand at any of these parts of its curve, best in the middle.
PARTS = sorted((step / 40 for step in range(8, 33)), key=lambda part: abs(part - 0.5))


class Box(NamedTuple):
    """Where something is drawn."""

    left: float
    top: float
    right: float
    bottom: float

    def common(self, other: "Box") -> float:
        """How much of the other it covers."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return across * down if across > 0 and down > 0 else 0.0


def nodes(callers_and_services: Sequence[str], databases: Mapping[str, str]) -> dict[str, Place]:
    """The services on an ellipse, who only calls them inside of it, the database of each behind it."""
    services = [each.name for each in SERVICES if each.name in callers_and_services]
    callers = [name for name in callers_and_services if name not in services]
    found = {name: (0.0, 100.0 * (number - (len(callers) - 1) / 2)) for number, name in enumerate(callers)}
    for number, name in enumerate(services):
        angle = 2 * math.pi * number / len(services) - math.pi / 2
        found[name] = (ACROSS * math.cos(angle), UP * math.sin(angle))
    behind: dict[str, int] = {}
    for database, owner in databases.items():
        x, y = found.get(owner, (0.0, 0.0))
        behind[owner] = behind.get(owner, 0) + 1
        found[database] = (x * (1.2 + 0.25 * behind[owner]), y * (1.2 + 0.25 * behind[owner]))
    return found


def texts(curves: Mapping[str, tuple[Place, Place, float, str]], taken: Iterable[Box]) -> Iterator[tuple[str, Place]]:
    """A place for the text of each curve, which has two ends, a curveness and a text; the shortest choose first."""
    if len(curves) > MOST_TEXTS:
        return
    boxes = list(taken)

    def covered(place: Place, said: str) -> float:
        box = around(place, said)
        return sum(box.common(other) for other in boxes)

    for name, (start, end, curveness, said) in sorted(curves.items(), key=lambda each: math.dist(*each[1][:2])):
        x, y = start
        beside = [(x, y + NODE), (x, y - NODE)]  # what one calls itself has no curve
        places = beside if start == end else [_point(start, end, curveness, part) for part in PARTS]
        free = next((place for place in places if not covered(place, said)), None)
        best = free or min(places, key=lambda place, said=said: covered(place, said))
        boxes.append(around(best, said))
        yield name, best


def around(place: Place, said: str, letter: float = LETTER) -> Box:
    """What a text takes whose middle is there."""
    (x, y), half = place, len(said) * letter / 2 + 2
    return Box(x - half, y - LINE / 2, x + half, y + LINE / 2)


def _point(start: Place, end: Place, curveness: float, part: float) -> Place:
    """A point of the curve as ECharts draws it."""
    (x1, y1), (x2, y2) = start, end
    bend = ((x1 + x2) / 2 - (y1 - y2) * curveness, (y1 + y2) / 2 - (x2 - x1) * curveness)
    one, two, three = (1 - part) ** 2, 2 * part * (1 - part), part**2
    return one * x1 + two * bend[0] + three * x2, one * y1 + two * bend[1] + three * y2
