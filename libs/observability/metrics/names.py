"""A bound on the values of a label that come from a program, which may invent ever more of them."""

MOST_NAMES = 100


class FirstNames:
    """The first hundred names that come, as they are; `other` for those after them."""

    def __init__(self, other: str) -> None:
        self._other = other
        self._known: set[str] = set()

    def __call__(self, name: str) -> str:
        """The label for this name."""
        if len(self._known) < MOST_NAMES:
            self._known.add(name)
        return name if name in self._known else self._other
