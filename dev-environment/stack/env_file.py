"""The file `.env`, read as docker compose reads it: both modes must find the same values in it.

python-dotenv takes the lines apart. It looks up variables in another way than compose, so that is done here: the
environment comes first, then the lines above; single quotes keep a value as it is.
"""

import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from stack.errors import SettingError

NAME = re.compile(r"[\w.\[\]-]+")
# `$$`, `$NAME`, `${NAME}`, or `${NAME` with an operator and a word, as in `${NAME:-word}`; the word may hold
# references, and their words others. Any other `${` is an error; any other `$` is a dollar sign.
REFERENCE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<named>[A-Za-z_]\w*)"
    r"|\{(?P<braced>[A-Za-z_]\w*)(?:(?P<operator>:?[-+?])(?P<word>(?:\$\{(?:\$\{[^{}]*\}|[^{}])*\}|[^{}])*))?\}|\{)"
)


def read(file: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a file; none if there is no file. `SettingError` names the line that cannot be read."""
    try:
        content = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SettingError(f"{file} is not encoded in UTF-8: its byte {error.start + 1} cannot be read.") from error
    found: dict[str, str] = {}
    for binding in parse_stream(StringIO(content)):
        try:
            if binding.error or (binding.key and not NAME.fullmatch(binding.key)):
                raise ValueError("this is not NAME=value")
            if binding.key and binding.value is not None:  # compose, too, takes a bare NAME from the environment
                found[binding.key] = _value(binding, binding.value, {**found, **environment})
        except ValueError as error:
            raise SettingError(f"{file}, line {_line_number(binding)}: {error}.") from error
    return found


def expand(value: str, known: Mapping[str, str]) -> str:
    """`value` with the variables of `known` put in, as compose does; `ValueError` says what is wrong with it."""

    def replacement(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        name = match["named"] or match["braced"]
        if not name:
            raise ValueError("this ${ begins no variable; write $$ for a dollar sign, or quote the value with '")
        operator, word = match["operator"] or "", match["word"] or ""
        is_given = bool(known.get(name)) if operator.startswith(":") else name in known
        if operator.endswith("-") and not is_given:
            return expand(word, known)
        if operator.endswith("+"):
            return expand(word, known) if is_given else ""
        if operator.endswith("?") and not is_given:
            raise ValueError(f"{name} is needed: {expand(word, known)}")
        return known.get(name, "")

    return REFERENCE.sub(replacement, value)


def _value(binding: Binding, unquoted: str, known: Mapping[str, str]) -> str:
    raw = binding.original.string.partition("=")[2].strip()
    if raw[:1] == "'":  # \' stands for a quote, and every other backslash for itself
        (quoted,) = re.findall(r"(?s)^'((?:\\.|[^'\\])*)'", raw)
        return re.sub(r"(?s)\\(.)", lambda escape: "'" if escape[1] == "'" else escape[0], quoted)
    if raw[:1] == '"':
        return expand(unquoted.replace("\\$", "$$"), known)
    return expand(raw.partition(" #")[0].rstrip(), known)


def _line_number(binding: Binding) -> int:
    """The line of the variable itself: the parser counts from the blank lines above it."""
    original = binding.original
    above = original.string[: len(original.string) - len(original.string.lstrip())]
    return original.line + above.count("\n")
