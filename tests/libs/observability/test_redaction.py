"""Secrets are found by the name of a field and by the look of a string, and what is ordinary is left alone."""

from dataclasses import dataclass
from decimal import Decimal

import pytest

from libs.observability.redaction import HIDDEN, LONGEST_STRING, is_secret, redact, redact_string

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
    ],
)
def test_an_ordinary_string_is_left_alone(string):
    assert redact_string(string) == string


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
    assert "[[" in str(redact("x", loop))
