"""Departments that move: the tree never becomes a circle, also not by two moves at once."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx

DEPARTMENTS = "/api/v1/departments"
CYCLE = (409, "/problems/department-cycle")


async def move(client: httpx.AsyncClient, department: dict[str, Any], parent: dict[str, Any] | None) -> httpx.Response:
    path = f"{DEPARTMENTS}/{department['id']}"
    return await client.patch(path, json={"parent_id": parent and parent["id"]}, headers={"if-match": "*"})


async def test_a_department_moves_below_another_and_to_the_top(client, make_department):
    above, below = await make_department("above"), await make_department("below")
    moved = await move(client, below, above)
    assert (moved.status_code, moved.json()["parent_id"]) == (200, above["id"])
    back = await move(client, below, None)
    assert (back.status_code, back.json()["parent_id"]) == (200, None)


async def test_a_rename_does_not_move(client, make_department):
    above = await make_department("above")
    below = await make_department("below", parent_id=above["id"])
    path = f"{DEPARTMENTS}/{below['id']}"
    renamed = await client.patch(path, json={"name": "New"}, headers={"if-match": "*"})
    assert renamed.json()["parent_id"] == above["id"]


async def test_no_department_moves_below_itself(client, make_department):
    top = await make_department("top")
    middle = await make_department("middle", parent_id=top["id"])
    bottom = await make_department("bottom", parent_id=middle["id"])
    for parent in (top, middle, bottom):
        refused = await move(client, top, parent)
        assert (refused.status_code, refused.json()["type"]) == CYCLE
    assert (await client.get(f"{DEPARTMENTS}/{top['id']}")).json()["parent_id"] is None


async def test_an_unknown_or_foreign_parent_is_refused(client, make_client, make_department):
    department = await make_department()
    foreign = await make_client(tenant_id=uuid4()).post(DEPARTMENTS, json={"code": "far", "name": "Far"})
    for parent in ({"id": str(uuid4())}, foreign.json()):
        refused = await move(client, department, parent)
        assert (refused.status_code, refused.json()["type"]) == (422, "/problems/unknown-parent")


async def test_moves_at_the_same_time_close_no_circle(client, make_department):
    """A ring of departments, each to be moved below the next: all but the last one may."""
    ring = [await make_department(f"d{number}") for number in range(8)]
    answers = await asyncio.gather(
        *(move(client, each, ring[(number + 1) % len(ring)]) for number, each in enumerate(ring))
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] * 7 + [409]
    parents = {each["id"]: each["parent_id"] for each in (await client.get(DEPARTMENTS)).json()["items"]}
    for department_id in parents:
        steps = 0
        while department_id := parents[department_id]:
            steps += 1
            assert steps < len(ring)
