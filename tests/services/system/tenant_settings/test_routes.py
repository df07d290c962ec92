"""Settings over HTTP: a known few, each with a type, a default and a version."""

import asyncio
from uuid import uuid4

import httpx
import pytest
from prometheus_client import REGISTRY

from libs.contracts.system import SettingChanged

SETTINGS = "/api/v1/settings"
DEFAULTS = {"currency": "KRW", "fiscal-year-begins-in": 1, "language": "en"}


async def change(client: httpx.AsyncClient, name: str, value: object, if_match: str = "*") -> httpx.Response:
    return await client.put(f"{SETTINGS}/{name}", json={"value": value}, headers={"if-match": if_match})


async def test_a_setting_has_its_default_until_it_is_changed(client, make_client, published):
    before = REGISTRY.get_sample_value("system_changes_total", {"what": "settings"})
    listed = (await client.get(SETTINGS)).json()["items"]
    assert {each["name"]: each["value"] for each in listed} == DEFAULTS
    assert {each["version"] for each in listed} == {0}
    assert (await client.get(f"{SETTINGS}/currency")).headers["etag"] == '"0"'
    first = await change(client, "currency", "EUR", '"0"')
    assert (first.status_code, first.headers["etag"]) == (200, '"1"')
    second = await change(client, "currency", "USD", '"1"')
    assert second.json() == {"name": "currency", "value": "USD", "version": 2}
    assert (await make_client("budget:read").get(f"{SETTINGS}/currency")).json() == second.json()
    assert (await make_client(tenant_id=uuid4()).get(f"{SETTINGS}/currency")).json()["value"] == "KRW"
    assert [(each.name, each.value) for each in await published(SettingChanged)] == [
        ("currency", "EUR"),
        ("currency", "USD"),
    ]
    assert REGISTRY.get_sample_value("system_changes_total", {"what": "settings"}) == before + 2


@pytest.mark.parametrize("known", [0, 1])
async def test_of_changes_at_the_same_time_one_is_made(client, published, known):
    if known:
        await change(client, "fiscal-year-begins-in", 12)
    asked = (change(client, "fiscal-year-begins-in", month, f'"{known}"') for month in range(2, 8))
    assert sorted(answer.status_code for answer in await asyncio.gather(*asked)) == [200] + [412] * 5
    assert len(await published(SettingChanged)) == known + 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("currency", "euro"),
        ("currency", 978),
        ("fiscal-year-begins-in", 13),
        ("fiscal-year-begins-in", "4"),
        ("language", "xx"),
        ("language", None),
        ("language", True),
    ],
)
async def test_a_value_of_another_type_is_refused(client, published, name, value):
    assert (await change(client, name, value)).status_code == 422
    assert await published(SettingChanged) == []


async def test_an_unknown_name_and_a_reader_are_refused(client, make_client):
    assert (await change(client, "weather", "fine")).status_code == 404
    assert (await client.get(f"{SETTINGS}/weather")).status_code == 404
    assert (await change(make_client("budget:read"), "currency", "EUR")).status_code == 403
