"""Secrets are found by the name of a field and by the look of a string, and what is ordinary is left alone."""

import enum
import json
import re
import types
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass, field, make_dataclass
from decimal import Decimal

import orjson
import pytest
from pydantic import BaseModel, Field, create_model

from libs.observability import patterns
from libs.observability.redaction import (
    HIDDEN,
    LONGEST_STRING,
    Budget,
    is_secret,
    plain_key,
    redact,
    redact_string,
    to_string,
)
from tests.libs.observability import hostile

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "new_password",
        "passwordHash",
        "access_token",
        "accessToken",
        "refreshTokens",
        "Authorization",
        "Set-Cookie",
        "x-api-key",
        "apiKey",
        "client_secret",
        "CLIENT_SECRET",
        "private_key",
        "rrn",
        "residentRegistrationNumber",
        "user.credentials",
        "dbpassword",
        "AWS_SECRET_ACCESS_KEY",
        "clientsecret",
        "PGPASSWORD",
        "Pwd",
    ],
)
def test_a_name_gives_a_secret_away(name):
    assert is_secret(name)
    assert redact(name, "anything") == HIDDEN
    assert redact("payload", {"inner": [{name: "anything"}]}) == {"inner": [{name.replace(".", "_"): HIDDEN}]}


@pytest.mark.parametrize("name", ["user_id", "amount", "key", "author", "currency", "compass", "secretary", "status"])
def test_an_ordinary_name_does_not(name):
    assert not is_secret(name)
    assert redact(name, "anything") == "anything"


@pytest.mark.parametrize(
    ("string", "secret"),
    [
        (f"header Authorization: Bearer {JWT} refused", JWT),
        ("sent bearer abcdef0123456789", "abcdef0123456789"),
        (f"token was {JWT}", JWT),
        ("resident 900101-1234567 exists", "900101-1234567"),
        ("resident 9001011234567 exists", "9001011234567"),
        ("cannot connect to postgresql+asyncpg://app:s3cr3t@db:5432/auth", "s3cr3t"),
        ('body {"email": "a@b.c", "password": "hunter 2"}', "hunter 2"),
        ("User(name='a', password='hunter2')", "hunter2"),
        (f"a-b/eyJ-eyJ {JWT} eyJ", JWT),
        ("GET /?api_key=abc123&x=1", "abc123"),
        ("[SQL: INSERT]\n[parameters: ('kim@example.com', '$argon2id$v=19')]\n(Background)", "$argon2id"),
        ("postgresql://app:s3/cr 3t@db:5432/auth", "3t@"),
        ("postgresql://app:s3@cr@3t@db:5432/auth", "3t@"),
        ("amqp://app:80/hunter2@mq", "hunter2"),
        (r'{"body": "{\"password\": \"hunter \\\"2\\\"\"}"}', "hunter"),
        (r'{"body": "{\"password\": \"a \\\"hunter2\\\"\"}"}', "hunter2"),
        ('{"password": "a\\" hunter2"}', "hunter2"),
        ('{"password": "hunter2 is cut', "hunter2"),
        ("[(b'authorization', b'Token hunter2')]", "hunter2"),
        ("['run', '--password', 'hunter2']", "hunter2"),
        ("run --db-password hunter2 --verbose", "hunter2"),
        ("curl -u kim:hunter2 http://x", "hunter2"),
        ("Authorization: Token hunter2", "hunter2"),
        ("Cookie: a=1; session=hunter2", "hunter2"),
        ("Server=db;Pwd=hunter2;", "hunter2"),
        ("secret_key='hunter2'", "hunter2"),
        ("AWS_SECRET_ACCESS_KEY=hunter2", "hunter2"),
        ("PGPASSWORD=hunter2 psql", "hunter2"),
        ('"tokens": ["one", "hunter2"]', "hunter2"),
        ("<password>hunter2</password>", "hunter2"),
        ('form-data; name="password"\r\n\r\nhunter2\r\n', "hunter2"),
        ("?next=%2F%3Ftoken%3Dhunter2", "hunter2"),
        ("GET /x?sig=hunter2&a=1", "hunter2"),
        ("GET /callback?state=1&code=hunter2", "hunter2"),
        ("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----", "hunter2"),
        ("-----BEGIN RSA PRIVATE KEY-----\nhunter2 is cut", "hunter2"),
        ("DETAIL:  Failing row contains (1, kim (x), hunter2).\n[SQL: INSERT]", "hunter2"),
        ("DETAIL:  Key (lower(email))=(hunter2) already exists.", "hunter2"),
        ("DETAIL:  Key (a, b)=(1, hunter2 (x)) is still referenced from table", "hunter2"),
        ("invalid input for query argument $1: 'hunter2' (expected str, got int)", "hunter2"),
        ("password\n  too short [type=x, input_value='hunter2', input_type=str]", "hunter2"),
        ("hash $2b$12$abcdefghijk", "abcdefghijk"),
        ("hash $argon2id$v=19$hunter2", "hunter2"),
        ("hash $pbkdf2-sha256$29000$hunter2", "hunter2"),
        ("hash $scrypt$ln=16$hunter2", "hunter2"),
        ("hash $y$j9T$hunter2", "hunter2"),
        ("hash $6$salt$hunter2", "hunter2"),
        ("pushed with ghp_abcdefghij1234", "abcdefghij"),
        ("\u0130 password=hunter2", "hunter2"),
        ("name=password&value=hunter2", "hunter2"),
        ('form-data; name="password"\r\n\r\naHVudGVyMg==\r\n', "aHVudGVyMg"),
        ('form-data; name="password"\r\n\r\n)hunter2\r\n', "hunter2"),
        ("['run', '--token', aHVudGVyMg==]", "aHVudGVyMg"),
        ('{"name":"password","value":{"a":{"x":1},"b":"hunter2"}}', "hunter2"),
        ('{"name":"password","value":["a)","hunter2"]}', "hunter2"),
        ('{"password": [["a"], ["hunter2"]]}', "hunter2"),
        ("- name: DB_PASSWORD\n  value: hunter2\n", "hunter2"),
    ],
)
def test_a_secret_is_found_in_a_string(string, secret):
    assert secret not in redact_string(string)
    assert HIDDEN in redact_string(string)


@pytest.mark.parametrize(
    "string",
    [
        "order 1764000000000 of 2026-11-24",
        "trace 4bf92f3577b34da6a3ce929d0e0e4736 span 00f067aa0ba902b7",
        "018f6b2c-9001-7011-8234-567890123456",
        "the password was changed, the token expired",
        "http://auth-service:3001/api/v1/users",
        "basic rules",
        "the secretary: kim",
        "http://127.0.0.1:3001: refused, ask kim@example.com",
        "http://users:3001/api/v1/users/kim@example.com",
        "killed by signal 9, author: kim, key 5 (max) = 7",
        "Key management (KMS) is down",
        "risk-assessment and disk-management-tool",
    ],
)
def test_an_ordinary_string_is_left_alone(string):
    assert redact_string(string) == string


def nested(value: object) -> list[str]:
    """The value as JSON, as JSON in JSON and in that once more, and as Python writes it."""
    once = json.dumps(value)
    twice = json.dumps({"body": once})
    return [once, json.dumps(value, indent=2), twice, json.dumps({"body": twice}), repr(value), repr(once)]


@pytest.mark.parametrize("naming", ["name", "key", "header", "Name", "ParameterName", "type", "field"])
@pytest.mark.parametrize("name", ["password", "x-api-key", "Authorization", "DB_PASSWORD"])
def test_a_value_is_hidden_in_a_string_by_the_name_that_stands_beside_it(naming, name):
    pair = {naming: name, "value": "hunter2"}
    other = {naming: "language", "value": "Korean"}
    records: list[object] = [
        pair,
        dict(reversed(pair.items())),
        {naming: name, "in": "header", "schema": {"a": [[1], [2]]}, "value": "hunter2"},
        {naming: name, "value": {"stringValue": "hunter2"}},
    ]
    for record in records:
        for string in nested([other, record, other]):
            redacted = redact_string(string)
            assert "hunter2" not in redacted, string
            assert (redacted.count(HIDDEN), redacted.count("Korean"), redacted.count(name)) == (1, 2, 1), redacted


@pytest.mark.parametrize(
    "string",
    [
        "Header(name='password', value=[redacted])",
        "Header(value=[redacted], name='password')",
        "name='password' value=[redacted]",
        '<input value=[redacted] name="password"/> <input name="a" value="b"/>',
        "name=password&value=[redacted]&other=1",
        "- name: DB_PASSWORD\n  value: [redacted]\n- name: A\n  value: b",
        "{'type': 'too_short', 'loc': ('body', 'password'), 'input': [redacted], 'ctx': {}}",
        '{"name" => "password", "value" => [redacted]}',
        '[["accept", "*/*"], ["authorization", [redacted]]]',
        '[{"name": "password", "required": true}]',
        '{"name": "the password, as a reminder", "value": "open"}',
    ],
)
@pytest.mark.parametrize("secret", ["'hunter2'", '"hunter2"'])
def test_only_the_value_beside_a_name_is_hidden(string, secret):
    assert redact_string(string.replace(HIDDEN, secret)) == string


def test_a_string_of_many_pairs_is_hidden_from_some_place_on():
    many = [{"name": "password", "value": f"hunter2 {number}"} for number in range(50)]
    assert "hunter2" not in redact_string(json.dumps(many))
    assert "hunter2" not in redact_string(
        json.dumps([*[{"value": 1}] * (patterns.MOST_VALUES + 1), {"value": "hunter2", "name": "password"}])
    )


def test_what_json_does_not_know_becomes_plain_and_bounded():
    @dataclass
    class Login:
        name: str
        password: str

    class Broken:
        def __str__(self) -> str:
            raise ValueError

    loop: list[object] = []
    loop.append(loop)
    assert redact("x", Login("kim", "hunter2")).endswith(f"Login(name='kim', password={HIDDEN})")
    assert redact("x", Decimal("1.10")) == "1.10"
    assert redact("x", 2**80) == str(2**80)
    assert redact("x", "\ud800") == "?"
    assert redact("x", Broken()) == "<Broken>"
    assert redact("x", {"a.b": {1: 2}}) == {"a_b": {"1": 2}}
    assert len(str(redact("x", list(range(100_000))))) < 1000
    assert len(str(redact("x", "y" * 1_000_000))) < LONGEST_STRING + 100
    assert redact("x", loop) == ["…"]


@pytest.mark.parametrize(
    "value",
    [
        [("authorization", "Token hunter2"), ("accept", "*/*")],
        [(b"cookie", b"hunter2")],
        ["run", "--password", "hunter2"],
        ["accept", "*/*", "x-api-key", "hunter2"],
        {"name": "PASSWORD", "value": "hunter2"},
        {"value": ["hunter2"], "Header": b"cookie"},
        {"loc": ("body", "password"), "msg": "too short", "input": "hunter2"},
        make_dataclass("Header", ["name", "value"])("authorization", "hunter2"),
        create_model("Header", key=(str, ...), value=(object, ...))(key="cookie", value=["hunter2"]),
        namedtuple("Header", "value name")("hunter2", "x-api-key"),
        namedtuple("Header", "k v")("x-api-key", "hunter2"),
        [enum.Enum("E", {"A": "password"})["A"], "hunter2"],
        types.SimpleNamespace(name="password", value="hunter2"),
        {"value": "hunter2", **{f"{number}": "x" * 100 for number in range(100)}, "name": "password"},
        {"headers": {b"cookie": "hunter2"}},
        namedtuple("Login", "name password")("kim", "hunter2"),
        [[[{"a": {"client_secret": {"b": "hunter2"}}}]]],
        {"body": '{"a": "{\\"password\\": \\"hunter2\\"}"}'},
        ["--password=hunter2"],
        enum.Enum("E", {"A": "token=hunter2"})["A"],
        bytearray(b"password=hunter2"),
    ],
)
def test_a_secret_is_found_in_a_structure(value):
    assert "hunter2" not in str(redact("x", value))
    assert HIDDEN in str(redact("x", value))


def test_only_what_belongs_to_the_name_of_a_secret_is_hidden_in_a_structure():
    headers = [{"name": "accept", "value": "*/*"}, {"name": "cookie", "value": "a"}, {"value": 1, "loc": ["a", "b"]}]
    assert redact("x", headers) == [headers[0], {"name": "cookie", "value": HIDDEN}, headers[2]]
    assert redact("x", [["body", "password"], "too short"]) == [["body", "password"], "too short"]


def test_records_are_shown_by_their_fields():
    class Account(BaseModel):
        name: str
        api_key: str
        inner: object = None

    @dataclass
    class Row:
        name: str
        note: str = field(repr=False)

    class Money(BaseModel):
        amount: int

        def __str__(self) -> str:
            return f"{self.amount} KRW"

    assert redact("x", Row("kim", "hunter2")).endswith("Row(name='kim')")
    assert redact("x", Account(name="a", api_key="hunter2", inner=Row("kim", "n"))) == (
        f"{Account.__qualname__}(name='a', api_key={HIDDEN}, inner={Row.__qualname__}(name='kim'))"
    )
    assert redact("x", Money(amount=5)) == "5 KRW"


class Counted(dict[object, object]):
    """A mapping that knows how often it was read, and never ends."""

    read = 0

    def items(self) -> Iterator[tuple[str, object]]:
        while True:
            Counted.read += 1
            yield f"key{Counted.read}", Counted()


def test_one_budget_holds_for_all_that_is_in_a_value():
    parent: dict[str, object] = {}
    children: list[object] = []
    parent["children"] = children
    children += [{"parent": parent, "siblings": children} for _ in range(60)]
    assert len(orjson.dumps(redact("x", parent))) < 10_000
    wide = [[[["v"] * 100] * 100] * 100] * 100
    assert str(redact("x", wide)).count("v") < 200
    assert len(orjson.dumps(redact("x", [["x" * 16_000] * 100] * 100))) < 9000
    assert len(orjson.dumps(redact("x", {f"{number}" * 30: 1 for number in range(10_000)}))) < 20_000
    redact("x", Counted())
    assert Counted.read <= 200


def test_a_budget_is_shared_by_all_that_is_given_it():
    budget = Budget()
    shown = [redact(f"field{number}", "x" * 1000, budget) for number in range(1000)]
    assert sum(map(len, shown)) < 10_000
    assert redact("last", ["y"] * 100, budget) == "…"


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (lambda: hostile.Hostile(), "<Hostile>"),
        (lambda: [hostile.Hostile(), 1], ["<Hostile>", 1]),
        (lambda: hostile.Breaks(), {"first": 1}),
        (lambda: 10**5000, "<integer of 16610 bits>"),
        (lambda: -(10**5000), "<integer of 16610 bits>"),
        (lambda: hostile.Text("plain"), "plain"),
        (lambda: Level.HIGH, 3),
        (lambda: type("F", (float,), {})(1.5), 1.5),
        (lambda: type("I", (int,), {})(7), 7),
        (lambda: type("S", (), {"__str__": lambda _: 7})(), "<S>"),
        (lambda: b"\xff", "b'\\xff'"),
        (lambda: {"": 1, hostile.Text("k"): 2, (1, 2): 3}, {"_": 1, "k": 2, "[1, 2]": 3}),
        (lambda: (number for number in [1]), "generator"),
    ],
)
def test_no_value_raises_or_lies(value, shown):
    value = value()
    redacted = redact("x", value)
    assert redacted == shown or shown in str(redacted)
    orjson.dumps(redacted)
    assert type(to_string(value)) is str


def test_what_is_long_is_cut_before_it_is_searched(monkeypatch):
    searched: list[int] = []
    monkeypatch.setattr(
        "libs.observability.redaction.without_secrets", lambda string: searched.append(len(string)) or string
    )
    redact_string("x" * 10_000_000)
    redact("x", b"x" * 10_000_000)
    plain_key("k" * 10_000_000)
    assert max(searched) < LONGEST_STRING + 300


def test_a_secret_at_the_place_of_the_cut_is_hidden():
    for length in range(LONGEST_STRING - len(JWT), LONGEST_STRING + 1):
        assert "eyJ" not in redact_string("x " * (length // 2) + JWT + "y" * 200)


def test_no_rule_repeats_a_repetition():
    compiled = [pattern for _, pattern in patterns._RULES] + [patterns._RESIDENT, patterns._CANDIDATE]
    compiled += [patterns._PAIRED_NAME, patterns._PAIRED_VALUE, patterns._NEXT_RECORD]
    for pattern in compiled:
        assert not re.search(r"[*+}]\)[*+{]", pattern.pattern), pattern.pattern


def test_what_is_found_in_a_string_is_bounded():
    string = "password=hunter2 " * 1000
    assert redact_string(string).count(HIDDEN) == patterns.MOST_FOUND
    assert "hunter2" not in redact_string(string)
    assert "hunter2" not in redact_string("x://a:hunter2@b " * 1000)


def test_a_model_shows_no_field_that_it_does_not_show_itself():
    class Patient(BaseModel):
        name: str
        notes: str = Field(repr=False)

    class Own(Patient):
        def __repr_args__(self) -> list[tuple[str, object]]:
            return [("name", "hidden")]

    assert "confidential" not in str(redact("patient", Patient(name="a", notes="confidential")))
    assert "confidential" not in str(redact("patient", Own(name="a", notes="confidential")))
