"""What may be shown of a statement's text: its first word, its first table, and the text without literals."""

import re

LONGEST_STATEMENT, LONGEST_OPERATION = 4096, 64
FIRST_TABLE = re.compile(r'\b(?:from|into|update)\s+(?:only\s+)?"?(\w[\w.]{0,126})', re.IGNORECASE)
# What these write in double quotes is a string, and its backslashes count.
QUOTED_TWICE = frozenset(("mysql", "mariadb"))
# A literal ends where the text is cut. Comments and names come first, since they may hold a quote.
_TOKENS = (
    r"(?P<kept>{names}|\$\d+)|(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))|\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z)"
    r"|\b[eE]'(?:[^'\\]|\\.)*(?:'|\Z)|(?:\b(?:[xXbBnN]|[uU]&))?(?:{strings})|(?<![\w.$:])\.?\d[\w.]*"
)
TOKENS = re.compile(_TOKENS.format(names=r'"[^"]*(?:"|\Z)', strings=r"(?:'[^']*(?:'|\Z))+"), re.DOTALL)
TOKENS_QUOTED_TWICE = re.compile(
    _TOKENS.format(names=r"`[^`]*(?:`|\Z)", strings=r"""(?:'(?:[^'\\]|\\.)*(?:'|\Z))+|(?:"(?:[^"\\]|\\.)*(?:"|\Z))+"""),
    re.DOTALL,
)


def without_literals(statement: str, is_quoted_twice: bool = False) -> str:
    """The text as the semantic conventions want it: `?` for each literal, no comment; names and parameters stay."""
    tokens = TOKENS_QUOTED_TWICE if is_quoted_twice else TOKENS
    return tokens.sub(lambda found: found["kept"] or ("" if found["comment"] else "?"), statement[:LONGEST_STATEMENT])


def summary_of(statement: str) -> tuple[str, str]:
    """The first word in capitals and the first table: `("SELECT", "orders")`; an empty string where there is none."""
    start = statement[:LONGEST_STATEMENT]
    words = start.split(None, 1)
    table = FIRST_TABLE.search(start)
    return words[0][:LONGEST_OPERATION].upper().strip("(;") if words else "EMPTY", table[1] if table else ""
