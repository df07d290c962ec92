"""The route of a request is its template, whatever the answer."""

import pytest


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("GET", "/items/7", "/items/{id}"),
        ("GET", "/items/seven", "/items/{id}"),
        ("DELETE", "/items/7", "/items/{id}"),
        ("GET", "/api/v1/middle/inner/x/1", "/api/v1/middle/inner/x/{i}"),
        ("POST", "/api/v1/middle/inner/x/1", "/api/v1/middle/inner/x/{i}"),
        ("GET", "/sub/s/9", "/sub/s/{z}"),
        ("POST", "/sub/s/9", "/sub/s/{z}"),
        ("GET", "/sub/nowhere", "unmatched"),
        ("GET", "/opaque/anything", "/opaque"),
        ("GET", "/plain/3", "/plain/{q}"),
        ("POST", "/slash", "/slash"),
        ("GET", "/ids/7", "/ids/{id}"),
        ("GET", "/docs", "/docs"),
        ("GET", "/openapi.json", "/openapi.json"),
        ("GET", "/nowhere/7", "unmatched"),
    ],
)
async def test_the_route_is_its_template_whatever_the_answer(client, lines, method, path, route):
    await client.request(method, path)
    assert lines()[-1]["http"]["route"] == route
