"""Searching the trail: filters, pages, and what nobody else may see."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

TRAIL = "/api/v1/audit-entries"


def problem_type(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["type"]


def ids(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [entry["id"] for entry in response.json()["items"]]


async def test_each_filter_finds_its_entries_and_all_given_must_match(client, make_event, record):
    actor, entity, trace = uuid4(), uuid4(), uuid4().hex
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    wanted = make_event(
        "order.placed.v1",
        subject=f"order/{entity}",
        actorid=actor,
        traceparent=f"00-{trace}-00f067aa0ba902b7-01",
        time=noon,
    )
    other = make_event("invoice.paid.v1", time=noon + timedelta(hours=1), actorid=uuid4())
    await record(wanted, other)

    filters = {
        "type": "order.placed.v1",
        "actor_id": str(actor),
        "entity_type": "order",
        "entity_id": str(entity),
        "trace_id": trace,
        "to": "2026-03-01T13:30:00+01:00",
    }
    for name, value in filters.items():
        assert ids(await client.get(TRAIL, params={name: value})) == [str(wanted.id)], name
    assert ids(await client.get(TRAIL, params=filters)) == [str(wanted.id)]
    assert ids(await client.get(TRAIL, params={**filters, "entity_type": "invoice"})) == []
    assert ids(await client.get(TRAIL, params={"from": "2026-03-01T12:00:01Z"})) == [str(other.id)]
    assert ids(await client.get(TRAIL)) == [str(other.id), str(wanted.id)]


async def test_a_span_of_time_holds_its_beginning_and_not_its_end(client, make_event, record):
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    at_noon, at_one = make_event(time=noon), make_event(time=noon + timedelta(hours=1))
    await record(at_noon, at_one)
    span = {"from": "2026-03-01T12:00:00Z", "to": "2026-03-01T13:00:00Z"}
    assert ids(await client.get(TRAIL, params=span)) == [str(at_noon.id)]
    assert ids(await client.get(TRAIL, params={"from": span["to"], "to": span["from"]})) == []


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
async def test_the_ends_of_the_calendar_are_times_like_others(client, make_event, record, moment):
    await record(make_event())
    found = {name: ids(await client.get(TRAIL, params={name: moment})) for name in ("from", "to")}
    early = moment.startswith("0001")
    assert (len(found["from"]), len(found["to"])) == ((1, 0) if early else (0, 1))


async def test_pages_neither_repeat_nor_lose_an_entry_while_late_ones_come(client, make_event, record):
    hour = timedelta(hours=1)
    start = datetime(2026, 3, 1, tzinfo=UTC)
    first = [make_event(time=start + number * hour) for number in range(7)]
    await record(*first)
    seen, cursor, late = [], None, []
    while True:
        page = (await client.get(TRAIL, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [entry["id"] for entry in page["items"]]
        # Occurred long before what is being read, recorded only now.
        late.append(make_event(time=start - len(late) * hour))
        await record(late[-1])
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == [str(event.id) for event in reversed(first)]
    assert ids(await client.get(TRAIL)) == [str(event.id) for event in [*reversed(late), *reversed(first)]]


async def test_pages_keep_to_their_filter(client, make_event, record):
    events = [make_event("order.placed.v1" if number % 2 else "invoice.paid.v1") for number in range(6)]
    await record(*events)
    wanted = {"type": "order.placed.v1", "limit": 2}
    page = (await client.get(TRAIL, params=wanted)).json()
    rest = (await client.get(TRAIL, params={**wanted, "cursor": page["next_cursor"]})).json()
    assert [entry["id"] for entry in page["items"] + rest["items"]] == [
        str(e.id) for e in events[::-1] if "order" in e.type
    ]
    assert rest["next_cursor"] is None


async def test_a_cursor_of_another_tenant_is_none_of_ours(client, make_client, make_event, record):
    await record(make_event(), make_event())
    cursor = (await client.get(TRAIL, params={"limit": 1})).json()["next_cursor"]
    other = make_client(tenant_id=uuid4())
    assert problem_type(await other.get(TRAIL, params={"cursor": cursor})) == (400, "/problems/bad-cursor")


@pytest.mark.parametrize("cursor", ["made-up", "00000000-0000-0000-0000-000000000000", "\x00", "eyJ"])
async def test_a_made_up_cursor_is_refused(client, cursor):
    assert problem_type(await client.get(TRAIL, params={"cursor": cursor})) == (400, "/problems/bad-cursor")


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "Order Placed"},
        {"type": "a" * 101},
        {"actor_id": "somebody"},
        {"entity_type": "order'; drop table"},
        {"entity_id": "a\x00b"},
        {"entity_id": "x" * 201},
        {"trace_id": "4BF92F3577B34DA6A3CE929D0E0E4736"},
        {"trace_id": "4bf92f35"},
        {"from": "yesterday"},
        {"from": "2026-03-01T12:00:00"},
        {"from": "2026-03-01"},
        {"to": "1772366400"},
        {"limit": 0},
        {"limit": 201},
        {"limit": "many"},
        {"cursor": "x" * 201},
        {"tenant_id": "00000000-0000-0000-0000-000000000001"},
    ],
)
async def test_what_is_no_search_is_refused(client, wrong):
    assert problem_type(await client.get(TRAIL, params=wrong)) == (422, "/problems/invalid-input")


async def test_one_entry_is_shown_by_the_id_of_its_event(client, make_event, record):
    event = make_event()
    await record(event)
    listed = (await client.get(TRAIL)).json()["items"]
    shown = await client.get(f"{TRAIL}/{event.id}")
    assert (shown.status_code, [shown.json()]) == (200, listed)


async def test_an_entry_of_another_tenant_does_not_exist(client, make_client, make_event, record):
    event = make_event()
    await record(event)
    other = make_client(tenant_id=uuid4())
    assert ids(await other.get(TRAIL)) == []
    hidden, unknown = await other.get(f"{TRAIL}/{event.id}"), await client.get(f"{TRAIL}/{uuid4()}")
    assert problem_type(hidden) == problem_type(unknown) == (404, "/problems/audit-entry-not-found")
    assert problem_type(await client.get(f"{TRAIL}/1")) == (422, "/problems/invalid-input")


async def test_reading_needs_the_permission(anonymous, make_client):
    for path in (TRAIL, f"{TRAIL}/{uuid4()}"):
        assert problem_type(await anonymous.get(path)) == (401, "/problems/unauthorized")
        assert problem_type(await make_client("budget:read").get(path)) == (403, "/problems/forbidden")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nothing_can_be_written_over_http(client, make_event, record, method):
    event = make_event()
    await record(event)
    for path in (TRAIL, f"{TRAIL}/{event.id}"):
        answer = await client.request(method, path, json={"type": "forged.v1"})
        assert problem_type(answer) == (405, "about:blank")


@pytest.mark.parametrize("column", ["type", "actor_id", "entity_type", "entity_id", "trace_id"])
async def test_each_filter_has_an_index_that_gives_the_order(tenant_session, tenant_id, column):
    value = uuid4()
    query = f"explain select * from audit_entries where tenant_id = '{tenant_id}' and {column} = '{value}'"
    async with tenant_session() as session:
        # A small table would be read as a whole, and sorted, for good reasons.
        await session.execute(text("set local enable_seqscan = off"))
        await session.execute(text("set local enable_sort = off"))
        plan = "\n".join((await session.scalars(text(f"{query} order by position desc limit 51"))).all())
    assert f"Index Scan Backward using ix_audit_entries_tenant_id_{column}_position" in plan
    assert "Sort" not in plan
