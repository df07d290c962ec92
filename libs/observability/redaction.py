"""Turns any value into plain JSON that is safe to log: without secrets and resident registration numbers, and bounded.

A secret is recognised by the name of its field, or by what it looks like (`patterns`). Nothing here raises, whatever a
value does when it is read. One `Budget` bounds what is read and written of a line, however deep its values are nested:
200 values and 5,120 characters, of which a key or a string takes 64 at least. What exceeds it is left out. Only the time
that a value's own `__str__`, `__repr__`, `isoformat` or iterator takes cannot be bounded; each is called once.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import date, time
from enum import Enum
from functools import lru_cache
from typing import Any, cast

from .patterns import HIDDEN, NAMING, PAIRED, without_secrets
from .records import parts_of_record

__all__ = [
    "HIDDEN",
    "LONGEST_STRING",
    "Budget",
    "is_secret",
    "plain_key",
    "redact",
    "redact_string",
    "to_string",
    "without_paired",
]

LONGEST_STRING = 2048
LONGEST_NAME = 128
DEEPEST = 8
LARGEST_INTEGER = 2**63 - 1
# In bits. Writing the digits takes quadratic time, and Python refuses to write more than 4,300 of them.
LONGEST_INTEGER = 4096
LEFT_OUT = "…"
LEAST_CHARGED = 64
"""Characters of the budget that a key or a string takes at least: a search costs something before it begins."""
# A string is searched this much further than it is shown: of a secret that is cut, the rest may be what gives it away.
OVERLAP = 128

_SECRET_WORDS = frozenset(
    ("pwd", "secret", "token", "jwt", "cookie", "signature", "sig", "rrn", "ssn", "otp")  # and their plurals
)
_SECRET_ENDINGS = ("secret", "token", "cookie")
_SECRET_PARTS = (
    ("password", "passwd", "passphrase", "passcode", "credential", "authorization", "authorisation", "secretkey")
    + ("apikey", "accesskey", "privatekey", "signingkey", "encryptionkey", "residentregistration", "residentnumber")
)  # fmt: skip
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NAME = re.compile(r"(?:b')?-{0,2}[\w.-]{1,64}'?")  # bytes are shown as `b'cookie'`


class Budget:
    """How many values may still be read, and how many of their characters written."""

    __slots__ = ("characters", "values")

    def __init__(self, values: int = 200, characters: int = 5120) -> None:
        self.values = values
        self.characters = characters

    def is_spent(self) -> bool:
        return self.values <= 0 or self.characters <= 0

    def part(self, characters: int) -> "Budget":
        """A budget of so many characters, which are taken from this one at once: for what must not spend all of it."""
        given = max(0, min(characters, self.characters))
        self.characters -= given
        return Budget(characters=given)

    def key(self, key: object) -> str:
        """The key as the name of a field (`plain_key`)."""
        plain = plain_key(key)
        self.characters -= max(len(plain), LEAST_CHARGED)
        return plain

    def string(self, string: str, longest: int = LONGEST_STRING) -> str:
        """The string without secrets (`redact_string`), or `…` when nothing is left of the budget."""
        if self.characters <= 0:
            return LEFT_OUT
        longest = min(longest, self.characters)
        redacted = redact_string(string, longest)
        searched = min(len(string), longest)  # what is hidden has been searched too
        self.characters -= max(searched, len(redacted), LEAST_CHARGED)
        return redacted


def is_secret(name: str) -> bool:
    """Whether the value of a field of this name must not be written: `accessToken`, `x-api-key`, `rrn`."""
    return _is_secret(name[:LONGEST_NAME])


@lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    words = [word.lower().removesuffix("s") for word in _WORD.findall(name)]
    if any(word in _SECRET_WORDS or word.endswith(_SECRET_ENDINGS) for word in words):
        return True
    joined = "".join(words)
    return any(part in joined for part in _SECRET_PARTS)


def redact_string(string: str, longest: int = LONGEST_STRING) -> str:
    """The string as valid UTF-8 of bounded length, without what looks like a secret. It is cut before it is searched."""
    length = str.__len__(string)
    if length > longest or type(string) is not str:
        string = str.__getitem__(string, slice(longest + OVERLAP))
    if not string.isascii():
        string = string.encode("utf-8", "replace").decode()
    string = without_secrets(string)
    return string if length <= longest else f"{string[:longest]}… ({length - longest} characters more)"


def redact(name: str, value: object, budget: Budget | None = None) -> object:
    """The value of the field `name` as plain JSON, as much of it as the budget allows; hidden if its name is a secret's.

    Objects that JSON does not know become strings. Dots in keys become underscores, because an index cannot hold both a
    field `a.b` and an object `a`.
    """
    return _redact(name, value, budget or Budget(), ())


def plain_key(key: object) -> str:
    """The key as the name of a field: a short string without dots that is never empty."""
    if type(key) is str and len(key) <= LONGEST_NAME:
        return _plain_key(key)
    if isinstance(key, str):
        return _plain_key(str.__getitem__(key, slice(LONGEST_NAME)))
    return _plain_key(str(_redact("", key, Budget(16, LONGEST_NAME), ()))[:LONGEST_NAME])


@lru_cache(maxsize=4096)
def _plain_key(key: str) -> str:
    return redact_string(key).replace(".", "_") or "_"


def to_string(value: object) -> str:
    """The value as a `str` and no subclass, or the name of its type if it cannot be written. Never raises.

    A long integer becomes the number of its bits.
    """
    kind = type(value)
    if kind is str:
        return cast("str", value)
    return str(_safely(_to_string, value, kind))


def _to_string(value: Any, kind: type) -> str:
    if issubclass(kind, int) and (bits := int.bit_length(value)) > LONGEST_INTEGER:
        return f"<integer of {bits} bits>"
    if issubclass(kind, (bytes, bytearray, memoryview)):
        return repr(bytes(value[:LONGEST_STRING]))
    return _exactly(str(value))


def _exactly(string: str) -> str:
    """The string as a `str` and no subclass, whose methods could do anything."""
    return string if type(string) is str else str.__getitem__(string, slice(LONGEST_STRING + OVERLAP))


def _safely(read: Callable[..., object], value: object, *more: object) -> object:
    """What `read` returns for the value, or the name of the value's type if it raises anything but the end of the program."""
    try:
        return read(value, *more)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a panic of an extension is no `Exception`, and no reason to lose a line either
        return f"<{type.__dict__['__name__'].__get__(type(value))}>"


def _redact(name: str, value: Any, budget: Budget, above: tuple[int, ...]) -> object:
    """As `redact`; `above` has the ids of the values that contain this one."""
    budget.values -= 1
    kind = cast("type[object]", type(value))
    if value is None or kind is bool:
        return cast("object", value)
    if is_secret(name):
        return HIDDEN
    if (kind is int and -LARGEST_INTEGER <= value <= LARGEST_INTEGER) or kind is float:
        return cast("object", value)
    if budget.characters <= 0:
        return LEFT_OUT
    if kind is str:
        return budget.string(value)
    return _safely(_redact_object, value, name, kind, budget, above)


# Types are compared by `type`, never by `isinstance`, which asks the value for its `__class__`.
def _redact_object(value: Any, name: str, kind: type, budget: Budget, above: tuple[int, ...]) -> object:
    inner = (*above, id(value))
    is_deep = len(above) >= DEEPEST or id(value) in above
    if issubclass(kind, Enum):
        return LEFT_OUT if is_deep else _redact(name, value.value, budget, inner)
    if issubclass(kind, str):
        return budget.string(_exactly(value))
    if issubclass(kind, int):
        number = int.__add__(value, 0)
        is_small = -LARGEST_INTEGER <= number <= LARGEST_INTEGER
        return number if is_small else budget.string(to_string(number))
    if issubclass(kind, float):
        return float.__add__(value, 0.0)
    if issubclass(kind, (date, time)):
        return budget.string(to_string(value.isoformat()))
    if (parts := parts_of_record(value)) is not None:
        return LEFT_OUT if is_deep else _record(value, parts, budget, inner)
    if issubclass(kind, Mapping):
        return LEFT_OUT if is_deep else _mapping(value, budget, inner)
    if issubclass(kind, (list, tuple, set, frozenset, deque)):
        return LEFT_OUT if is_deep else _sequence(name, value, budget, inner)
    return budget.string(to_string(value))


def _mapping(value: Any, budget: Budget, above: tuple[int, ...]) -> dict[str, object]:
    redacted: dict[str, object] = {}
    for item in _readable(value.items, budget):
        key = budget.key(item[0])
        redacted[key] = _redact(key, item[1], budget, above)
    return without_paired(redacted, budget)


def without_paired(fields: dict[str, object], budget: Budget) -> dict[str, object]:
    """The fields, with the value hidden that belongs to the name of a secret: `{"name": "cookie", "value": "[redacted]"}`."""
    names = [each for key, each in fields.items() if key.lower().endswith(NAMING)]
    # Of fields that were cut, the name may not have been read.
    if budget.is_spent() or any(_names_a_secret(_last(each)) for each in names):
        return {key: HIDDEN if key.lower().endswith(PAIRED) else each for key, each in fields.items()}
    return fields


def _sequence(name: str, value: Iterable[object], budget: Budget, above: tuple[int, ...]) -> list[object]:
    redacted: list[object] = []
    is_hidden = False
    for member in _readable(value.__iter__, budget):
        redacted.append(HIDDEN if is_hidden else _redact(name, member, budget, above))
        # In pairs such as headers, and in the arguments of a program, a secret follows its name.
        is_hidden = _names_a_secret(redacted[-1])
    return redacted


def _readable(read: Callable[[], Iterable[Any]], budget: Budget) -> Iterator[Any]:
    """The members of a collection, until the budget is spent or reading one raises; the collection may be endless."""
    with suppress(Exception):
        iterator = iter(read())
        while not budget.is_spent():
            yield next(iterator)


def _last(shown: object) -> object:
    """The last member of a list, since pydantic's `loc` ends with the name; anything else as it is."""
    if type(shown) is not list:
        return shown
    members = cast("list[object]", shown)
    return members[-1] if members else None


def _names_a_secret(shown: object) -> bool:
    return type(shown) is str and len(shown) <= LONGEST_NAME and bool(_NAME.fullmatch(shown)) and is_secret(shown)


class _Record(str):
    """A record as a string. Within another record it is shown without quotes, unlike the string of a field."""

    __slots__ = ()
    __repr__ = str.__str__


def _record(value: object, parts: Iterable[tuple[str, object]], budget: Budget, above: tuple[int, ...]) -> str:
    """`Login(name='kim', password=[redacted])`."""
    redacted: dict[str, object] = {}
    is_hidden = False
    for name, part in parts:
        if budget.is_spent():
            break
        redacted[name] = HIDDEN if is_hidden else _redact(name, part, budget, above)
        is_hidden = issubclass(type(value), tuple) and _names_a_secret(redacted[name])
    fields = without_paired(redacted, budget).items()
    shown = [f"{name}={each if each is HIDDEN else repr(each)}" for name, each in fields]
    return _Record(f"{type(value).__qualname__}({', '.join(shown)})")
