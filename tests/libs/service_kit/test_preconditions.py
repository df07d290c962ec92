"""An update names the version that it changes, and nobody overwrites what they have not read."""

import asyncio

import httpx
import pytest

NOTES = "/api/v1/notes"


@pytest.fixture
async def note(client: httpx.AsyncClient) -> httpx.Response:
    """A note, as the answer that it was created with."""
    return await client.post(NOTES, json={"code": "a", "text": "b"})


async def change(client: httpx.AsyncClient, note: httpx.Response, tag: str | None, to: str = "c") -> httpx.Response:
    headers = {} if tag is None else {"if-match": tag}
    return await client.patch(note.headers["location"], json={"text": to}, headers=headers)


async def test_the_etag_follows_the_version(client, note):
    assert note.headers["etag"] == '"1"'
    changed = await change(client, note, '"1"')
    assert (changed.status_code, changed.headers["etag"], changed.json()["version"]) == (200, '"2"', 2)
    assert (await client.get(note.headers["location"])).headers["etag"] == '"2"'


async def test_an_update_without_if_match_is_refused(client, note):
    answer = await change(client, note, None)
    assert (answer.status_code, answer.json()["type"]) == (428, "/problems/precondition-required")


@pytest.mark.parametrize("tag", ['"0"', '"2"', 'W/"1"', "1", '"x"', '"1", "2"', "", '"' + "9" * 60 + '"'])
async def test_another_version_is_refused(client, note, tag):
    answer = await change(client, note, tag)
    assert (answer.status_code, answer.json()["type"]) == (412, "/problems/precondition-failed")
    assert answer.json()["current"] == '"1"'
    assert (await client.get(note.headers["location"])).json()["text"] == "b"


async def test_any_version_is_a_star(client, note):
    assert (await change(client, note, "*")).status_code == 200


async def test_of_five_writers_at_once_one_wins(client, note):
    answers = await asyncio.gather(*(change(client, note, '"1"', to=f"text {number}") for number in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412]
    winner = next(answer for answer in answers if answer.status_code == 200)
    assert (await client.get(note.headers["location"])).json() == winner.json()


async def test_five_writers_of_any_version_lose_no_update_in_silence(client, note):
    """Past the check, the version in the statement itself decides."""
    answers = await asyncio.gather(*(change(client, note, "*", to=f"text {number}") for number in range(5)))
    done = [answer for answer in answers if answer.status_code == 200]
    assert {answer.status_code for answer in answers} <= {200, 412}
    assert (await client.get(note.headers["location"])).json()["version"] == 1 + len(done)


async def test_openapi_requires_if_match_and_says_how_it_is_refused(client):
    operation = (await client.get("/openapi.json")).json()["paths"]["/api/v1/notes/{note_id}"]["patch"]
    [header] = [each for each in operation["parameters"] if each["name"] == "if-match"]
    assert header["required"] is True
    assert header["schema"]["type"] == "string"
    assert "precondition-failed" in operation["responses"]["412"]["description"]
    assert "precondition-required" in operation["responses"]["428"]["description"]
