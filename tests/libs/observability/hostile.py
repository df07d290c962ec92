"""Values that raise or lie when they are looked at. A module of its own, since pytest looks at what a test module holds."""

from collections.abc import Iterator, Mapping


class Hostile(Exception):
    """Raises whatever is asked of it; a panic of an extension is a `BaseException`."""

    def fail(self, *_: object) -> None:
        raise BaseException("hunter2")

    __str__ = __repr__ = __len__ = __bool__ = __hash__ = __eq__ = __iter__ = __getitem__ = fail
    __class__ = property(fail)


class Breaks(Mapping[str, int]):
    """A mapping that breaks off while it is read."""

    def __iter__(self) -> Iterator[str]:
        yield "first"
        raise KeyError

    def __getitem__(self, key: str) -> int:
        return 1

    def __len__(self) -> int:
        return -1  # noqa: PLE0303


class Text(str):
    """A string that lies about itself."""

    def __len__(self) -> int:
        return 3

    def __str__(self) -> str:
        raise ValueError

    def __getitem__(self, key: object) -> str:
        raise ValueError
