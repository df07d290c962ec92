"""No log line and no span holds a password, token or key, even where a client put one in the wrong place."""

import re

import httpx

from tests.fixtures.waiting import eventually

# Any signed token: the tests never see those that the services send each other.
TOKEN = re.compile(rb"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.")
MISPLACED = "misplaced-plover-kelp-9931"


def test_secrets_reach_neither_logs_nor_spans(own_stack, tenant, answers):
    auth = own_stack.urls["auth"]
    login = {"tenant": tenant.company.code, "email": tenant.company.admin.email, "password": MISPLACED}
    httpx.post(f"{auth}/api/v1/auth/login?password={MISPLACED}", json=login | {"password2": MISPLACED})
    httpx.post(f"{auth}/api/v1/auth/login", json=login | {"password": [MISPLACED]})
    httpx.post(f"{auth}/api/v1/auth/login", json=login)
    httpx.get(f"{auth}/api/v1/users?access_token={MISPLACED}", headers={"authorization": f"Bearer {MISPLACED}"})
    last = httpx.get(f"{auth}/api/v1/users", headers={"x-api-key": MISPLACED, "cookie": f"session={MISPLACED}"})
    request_id = last.headers["x-request-id"]
    eventually(
        lambda: any(line.get("request_id") == request_id for line in own_stack.lines()),
        20,
        "the last request has no log line",
    )

    company = tenant.company
    forbidden = [MISPLACED, *own_stack.secrets, *(p.password for p in (company.admin, company.manager, company.member))]
    for answer in answers:
        if isinstance(answer.body, dict):
            forbidden += [answer.body[name] for name in ("access_token", "refresh_token") if name in answer.body]
    assert len(forbidden) > 12
    files = own_stack.files()
    assert sum(path.stat().st_size for path in files) > 100_000
    for path in files:
        content = path.read_bytes()
        assert [each for each in forbidden if each.encode() in content] == [], path
        assert TOKEN.findall(content) == [], path
