"""Finds what looks like a secret within a string, and hides it.

Clients choose the strings, so the time must grow with the length of a string and no faster. Hence no rule repeats a
repetition; from each place a rule reads either a bounded distance or to the end of the string; and a rule that has matched
often hides everything behind its last match. The rules are matched against the string in lower case, and each begins with a
literal character: a search that ignores case takes ten times as long.
"""

import re
from collections.abc import Iterator
from itertools import groupby, islice
from operator import itemgetter

HIDDEN = "[redacted]"
MOST_FOUND, MOST_URLS = 16, 64
"""The most matches of one rule, and the most URLs, in a string. Behind the last of them everything is hidden."""

Found = tuple[int, int]
"""The positions at which a secret begins and ends."""

# A repetition with a `+` behind it is possessive: it never backtracks. A lookbehind stands behind the letters whose
# neighbours it checks, so that the pattern can begin with a literal.
_NAME = (
    r"(?:p(?:ass(?:w|phrase|code)|rivate[_-]?key|wd(?<![a-z]pwd)(?![a-z]))"
    r"|s(?:ecret(?!ar)|igning[_-]?key|ig(?:nature|(?<![a-z]sig)(?![a-z]))|sn(?<![a-z]ssn)(?![a-z]))"
    r"|token|c(?:redential|ookie)|a(?:uthori[sz]ation|pi[_-]?key|ccess[_-]?key)|encryption[_-]?key"
    r"|(?:jwt|otp|rrn)(?<![a-z].{3})(?![a-z]))[\w.-]{0,32}+"
)
# In JSON within JSON, backslashes stand in front of the quotes.
_QUOTE = r"\\*+[\"']"
_ASSIGN = r"\s{0,4}+(?:=>|[=:])\s{0,8}"
# Behind a quoted name, a comma (pairs, arguments) or the end of the line (forms) separates it from its value too, unless
# the name is itself the value of a field: then another field follows, or a closing bracket.
_NO_FIELD = rf"(?!\s{{0,64}}+(?:{_QUOTE}[\w.-]{{1,64}}+{_QUOTE}\s?(?:=>|:)|:?[\w.-]{{1,64}}+=[\"'\[(\w]|[\]}})]))"
_NO_END = r"(?!\s{0,64}+[\]})](?:[\s,\]})]|\Z))"
_IS = rf"(?:{_QUOTE}\s{{0,4}}(?:,{_NO_FIELD}|[\r\n]{_NO_END}|=>|[=:])|\s{{0,4}}+(?:=>|[=:>]|%3d))\s{{0,8}}"
_QUOTED = r"b?(?P<quote>\\*+[\"'])(?:(?s:.){0,4096}?(?<!\\)(?P=quote)|(?s:.)*+)"
# A collection in which there is none and that ends; of any other, everything behind its beginning.
_COLLECTION = (
    "|".join(rf"\{first}[^\[\](){{}}]{{0,2048}}+\{last}" for first, last in ("[]", "()", "{}")) + r"|[\[({](?s:.)*+"
)
_VALUE = rf"(?:{_QUOTED}|{_COLLECTION}|[^\s,;&'\"<>\\]++)"

NAMING = (
    ("name", "key", "header", "field", "param", "parameter", "variable", "property", "attribute", "type", "path")
    + ("loc",)  # of pydantic's errors; a list that ends with the name
)  # fmt: skip
"""The fields, by the end of their names, that hold the name of something: `{"name": "authorization", "value": "…"}`."""
PAIRED = ("value", "values", "input")
"""The fields, by the end of their names, that hold the value which belongs to that name."""
_PAIRED_NAME = re.compile(
    rf"(?:{'|'.join(NAMING)})(?:{_QUOTE})?{_ASSIGN}"
    rf"(?:(?P<quote>{_QUOTE})?-{{0,2}}[\w.-]{{1,64}}+(?(quote)(?P=quote))|[\[(][^\[\](){{}}]{{1,64}}+)"
)
_SECRET_NAME = re.compile(_NAME)
_PAIRED_VALUE = re.compile(rf"((?:{'|'.join(PAIRED)})(?:{_QUOTE})?{_ASSIGN}){_VALUE}")
# Between two records stands `}, {`, `), Header(`, `/> <`, or the dash of a list in YAML.
_NEXT_RECORD = re.compile(r"[\]})>][\s\\n,]{0,32}+[\w.]{0,64}+[\[{(<]|\n\s{0,32}+-\s")
MOST_VALUES = 128

# Each rule, with the words of which a string must hold one for the rule to be tried. Of a match, group 1 is shown and the
# rest is hidden.
_RULES = [
    (needed, re.compile(pattern))
    for needed, pattern in (
        (("private key",), r"-----begin [a-z0-9 ]{0,32}private key(?s:.)*?(?:-----end [a-z0-9 ]{0,64}+-----|\Z)"),
        (("eyj",), r"eyj(?<![\w-]eyj)[\w.-]{6,}+"),
        (("query argument $",), r"(query argument \$\d{1,9}[^:\n$]{0,64}+: )(?:(?s:.)*(?= \()|(?s:.)*)"),
        (("failing row contains",), r"(failing row contains )\((?:(?s:.)*\)\.|(?s:.)*)"),
        (("key (",), r"(key \([^=\n]{1,64}+=)\((?:(?s:.){0,4096}?\)(?= already| is | conflicts|\.)|(?s:.)*)"),
        (("input_value=",), r"(input_value=)(?:(?s:.){0,4096}?(?=, input_type=)|(?s:.)*)"),
        (("[parameters: ",), r"(\[parameters: ).*+"),
        (
            ("authori", "cookie"),
            rf"((?:authori[sz]ation|cookie)(?:{_QUOTE})?\s{{0,4}}+[=:]\s{{0,4}}+)(?!b?\\*+[\"'\[{{])[^\r\n\"'\\]++",
        ),
        (
            ("passw", "passphrase", "passcode", "secret", "token", "credential", "cookie", "signature", "key")
            + ("authori", "pwd", "jwt", "otp", "rrn", "ssn", "sig"),
            rf"({_NAME}{_IS}){_VALUE}",
        ),
        (("--",), rf"(--(?<![\w-]--)[a-z-]{{0,32}}?{_NAME}\s{{1,4}})(?:{_QUOTED}|[^\s'\"-]\S*+)"),
        (("-u",), r"(-(?<![\w-]-)(?:u|-user|-proxy-user)[\s=]{1,4}[^\s:]{1,64}+:)\S++"),
        (("bearer", "basic"), r"(b(?:earer|asic)\s{1,8}+)(?!\[)[\w.~+/=-]{6,}+"),
        (("=",), r"([?&#](?:code|key|auth|pass|pin|ticket|assertion|saml\w{0,16})=)[^&\s\"'<>#]++"),
        (("$",), r"\$(?:argon2i?d?|2[abxy]?|scrypt|pbkdf2[\w-]{0,16}+|[156y])\$[^\s'\",;)\]}]++"),
        (
            ("gh", "github_pat_", "glpat-", "xox", "sk-", "k_live_", "aiza", "ya29."),
            r"(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|sk-(?<![\w-]sk-)|[rs]k_live_|aiza|ya29\.)[\w-]{10,}+",
        ),
    )
]
# Where none of these is found, no rule can match.
_HINTS = (
    "eyj :// bearer basic passw passp passc pass= secret token key cookie credential authori auth= pwd jwt otp rrn ssn sig"
    " argument failing input_value= [parameters code= pin= ticket= assertion= saml -u ghp_ gho_ ghu_ ghs_ ghr_ github_pat_"
    " glpat- xox k_live_ aiza ya29 sk- $a $1 $2 $5 $6 $p $s $y"
)
# Grouped by their first letters, since an alternation tries all of its branches at every place: this halves the time.
_CANDIDATE = re.compile(
    "|".join(
        f"{re.escape(first)}(?:{'|'.join(re.escape(each[1:]) for each in hints)})"
        for first, hints in groupby(sorted(_HINTS.split()), itemgetter(0))
    )
)
# The pattern checks the birth date, so that most other numbers of thirteen digits are shown.
_RESIDENT = re.compile(
    r"\d\d(?<![0-9a-z]..)(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\s?[-\u2010-\u2015]?\s?[1-8]\d{6}(?![0-9a-z])"
)


def without_secrets(string: str) -> str:
    """The string, with `[redacted]` in place of what looks like a secret or a resident registration number."""
    lowered = string.lower()
    if len(lowered) != len(string):  # one letter, the dotted capital I, becomes two in lower case
        string = string.replace("\u0130", "I")
        lowered = string.lower()
    found: list[Found] = []
    if _CANDIDATE.search(lowered):
        for needed, pattern in _RULES:
            if _has_any(lowered, needed):
                found += _found(pattern, lowered)
        if "://" in lowered and "@" in lowered:
            found += _url_passwords(lowered)
        if "value" in lowered or "input" in lowered:
            found += _paired_values(lowered)
    if _RESIDENT.search(lowered):
        found += _found(_RESIDENT, lowered)
    return _without(string, sorted(found)) if found else string


def _has_any(string: str, words: tuple[str, ...]) -> bool:
    """Whether the string contains one of the words. `any` with a generator would double the time for a short string."""
    for word in words:  # noqa: SIM110
        if word in string:
            return True
    return False


def _found(pattern: re.Pattern[str], string: str) -> list[Found]:
    group = min(pattern.groups, 1)  # a rule without groups hides the whole match
    found = [
        (match.end(1) if group else match.start(), match.end())
        for match in islice(pattern.finditer(string), MOST_FOUND)
    ]
    if len(found) == MOST_FOUND:
        found[-1] = (found[-1][0], len(string))
    return found


def _paired_values(string: str) -> Iterator[Found]:
    """The values that belong to the name of a secret: those in its record, or else the next one behind it."""
    secret = (
        (match.start(), 0, match.end())
        for match in _PAIRED_NAME.finditer(string)
        if _SECRET_NAME.search(string, match.start(), match.end())
    )
    names = list(islice(secret, MOST_FOUND))
    if not names:
        return
    last = names[-1][-1] if len(names) == MOST_FOUND else len(string)  # all behind it is hidden
    matches = islice(_PAIRED_VALUE.finditer(string, 0, last), MOST_VALUES)
    values = [(match.start(), match.end(1), match.end()) for match in matches]
    before: list[Found] = []
    is_secret = is_found = False
    position = 0
    for start, hidden, end in sorted(names + values):
        if _NEXT_RECORD.search(string, position, start):
            before = []
            is_secret = is_secret and not is_found
        position = end
        if not hidden:
            yield from before
            is_secret, is_found = True, bool(before)
        else:
            before.append((hidden, end))
            is_found = is_secret
            if is_secret:
                yield hidden, end
    for found, most in ((names, MOST_FOUND), (values, MOST_VALUES)):
        if len(found) == most:
            yield found[-1][-1], len(string)


def _without(string: str, found: list[Found]) -> str:
    parts: list[str] = []
    position = 0
    for begin, end in found:
        if begin >= position:
            parts += string[position:begin], HIDDEN
        position = max(position, end)
    return "".join([*parts, string[position:]])


_USER = re.compile(r"[^\s:/@?#\[\]'\"<>]*+:")
_PORT = re.compile(r"\d{1,5}(?:[/?#\s,;)\]}'\"]|[.:](?:\s|\Z)|\Z)")
_TOKEN_END = re.compile(r"[\s'\"<>]|\Z")
_HOST = re.compile(r"@(?=[\w\[])")
LONGEST_PASSWORD = 128


def _url_passwords(string: str) -> Iterator[Found]:
    """The passwords in URLs. A password may contain `/`, `@` and blanks; `http://name:80/` has a port and no password."""
    start = string.find("://")
    for _ in range(MOST_URLS):
        if start < 0:
            return
        following = string.find("://", start + 3)
        limit = following if following >= 0 else len(string)
        user = _USER.match(string, start + 3, limit)
        if user and (
            at := _end_of_password(string, user.end(), limit, is_web=string.endswith(("http", "https"), 0, start))
        ):
            yield user.end(), at
        start = following
    if string.find("@", start) >= 0:
        yield start, len(string)


def _end_of_password(string: str, begin: int, limit: int, *, is_web: bool) -> int:
    """The position of the `@` that ends the password; 0 if there is no password."""
    if string.find("@", begin, limit) < 0:
        return 0
    is_port = _PORT.match(string, begin, limit) is not None
    end = _TOKEN_END.search(string, begin, limit)
    token_end = end.start() if end else limit
    at = -1 if is_port and is_web else string.rfind("@", begin, token_end)
    if not is_port and (at < 0 or at + 1 == token_end):  # a password with blanks may begin here
        line_end = string.find("\n", begin, limit)
        window = min(begin + LONGEST_PASSWORD, limit if line_end < 0 else line_end)
        later = _HOST.search(string, token_end, window)
        at = later.start() if later else at
    return max(at, 0)
