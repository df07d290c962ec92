"""Keeps secrets and resident registration numbers out of log lines and spans: by the name of a field, by the look of a string."""

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from enum import Enum
from functools import lru_cache
from itertools import islice
from typing import cast

HIDDEN = "[redacted]"
LONGEST_STRING = 16_384
LONGEST_NAME = 128
DEEPEST = 8
MOST_ITEMS = 100
LARGEST_INTEGER = 2**63 - 1

_SECRET_WORDS = frozenset(
    ("password", "passwd", "passphrase", "pwd", "secret", "token", "jwt", "authorization", "cookie", "credential")
    + ("rrn", "ssn", "otp")
)
_SECRET_PAIRS = ("apikey", "privatekey", "signingkey", "residentregistration", "residentnumber")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

# The birth date of a resident registration number is checked, so that most thirteen-digit numbers are left alone.
_NUMBER = r"(?<![0-9A-Za-z])\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[-\s]?[1-8]\d{6}(?![0-9A-Za-z])"
# No rule may look at the same characters again and again: clients choose the strings.
_STRING_RULES = (
    (re.compile(r"(?<![\w-])eyJ[\w-]+\.[\w-]+\.[\w-]*"), HIDDEN),
    (re.compile(r"\b(bearer|basic)\s+(?!\[)[\w.~+/=-]{6,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(_NUMBER), HIDDEN),
    (re.compile(r"(://[^\s:/@]*:)[^\s/@]+@"), rf"\1{HIDDEN}@"),
    (
        re.compile(
            r"((?:password|passwd|passphrase|secret|token|api[_-]?key|private[_-]?key|cookie)['\"]?\s*[=:]\s*)"
            r"(?:\"[^\"]*\"|'[^']*'|[^\s,;&'\"\[{}]+)",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    # The values of a failed statement, as SQLAlchemy appends them to its message.
    (re.compile(r"\[parameters: .*"), f"[parameters: {HIDDEN}]"),
)
# No rule can match a string in which this finds nothing. The string is lowered first, since a search that ignores case
# takes twice as long.
_CANDIDATE = re.compile(r"eyj|://|\d{6}|\[parameters|bearer|basic|passw|passphrase|secret|token|key|cookie")


@lru_cache(maxsize=4096)
def is_secret(name: str) -> bool:
    """Whether a field of this name may hold something that nobody should read: `accessToken`, `x-api-key`, `rrn`."""
    words = [word.lower() for word in _WORD.findall(name)]
    if any(word in _SECRET_WORDS or word.removesuffix("s") in _SECRET_WORDS for word in words):
        return True
    joined = "".join(words)
    return any(pair in joined for pair in _SECRET_PAIRS)


def redact_string(string: str) -> str:
    """The string without tokens, passwords in URLs and `key=value` pairs, and registration numbers; bounded; valid UTF-8."""
    if len(string) > LONGEST_STRING:
        string = f"{string[:LONGEST_STRING]}… ({len(string) - LONGEST_STRING} characters more)"
    if not string.isascii():
        string = string.encode("utf-8", "replace").decode()
    if _CANDIDATE.search(string.casefold()):
        for pattern, replacement in _STRING_RULES:
            string = pattern.sub(replacement, string)
    return string


def redact(name: str, value: object, depth: int = 0) -> object:
    """What may be written of the field `name`: plain JSON values, bounded, hidden where its name says so.

    Never raises. Objects that JSON does not know become strings; a key keeps no dot, because an index cannot hold both
    `a.b` and an object `a`.
    """
    if value is None or isinstance(value, bool):
        return value
    if is_secret(name):
        return HIDDEN
    match value:
        case str() if not isinstance(value, Enum):
            return redact_string(value)
        case Enum():
            return redact(name, value.value, depth + 1)
        case int():
            return value if abs(value) <= LARGEST_INTEGER else str(value)
        case float():
            return value
        case datetime() | date() | time():
            return _isoformat(value)
        case Mapping() if depth < DEEPEST:
            items = islice(cast("Mapping[object, object]", value).items(), MOST_ITEMS)
            return {(key := plain_key(each)): redact(key, item, depth + 1) for each, item in items}
        case list() | tuple() | set() | frozenset() if depth < DEEPEST:
            members = islice(cast("Iterable[object]", value), MOST_ITEMS)
            return [redact(name, member, depth + 1) for member in members]
        case _:
            return redact_string(to_string(value))


def plain_key(key: object) -> str:
    """A name fit for a field: a short string without dots."""
    return redact_string(to_string(key)[:LONGEST_NAME]).replace(".", "_")


def to_string(value: object) -> str:
    """The value as a string, its type's name if it has none. Never raises."""
    try:
        return str(value)
    except Exception:  # a broken __str__ must not cost the line
        return f"<{type(value).__name__}>"


def _isoformat(value: date | time) -> str:
    try:
        return value.isoformat()
    except Exception:  # a time zone can be anybody's code
        return to_string(value)
