"""The template of the route that answered a request: `/api/v1/items/{id}`, the one name for it in metrics, spans and lines."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from prometheus_fastapi_instrumentator.routing import get_route_name
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Mount
from starlette.types import Scope

UNMATCHED = "unmatched"


def route_template(scope: Scope, app: Any, root_path: str, status: int | None) -> str:
    """The template by the scope after the request to `app`; `root_path` is that of before it.

    FastAPI leaves the matched route in the scope, except for redirects and plain Starlette routes such as `/docs`; below
    a mount it leaves one without the mount's prefix. Then the Instrumentator's own lookup finds it.
    """
    if scope.get("root_path", "") == root_path:
        route = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
        if template := getattr(route, "path_format", None):
            return template
    if app is None:
        return UNMATCHED
    asked: Scope = {
        "type": "http",
        "method": scope["method"],
        "path": scope["path"],
        "root_path": root_path,
        "headers": scope["headers"],
        "app": app,
    }
    if status == 307:
        return _redirected(asked) or UNMATCHED
    return get_route_name(HTTPConnection(asked), False) or UNMATCHED


def _redirected(asked: Scope) -> str | None:
    """The template of a path that lacks its slash, or has one too many: the lookup alone would give the path, ids and all."""
    path: str = asked["path"]
    right = path[:-1] if path.endswith("/") else path + "/"
    template = get_route_name(HTTPConnection({**asked, "path": right}), False)
    if template is None:
        return None
    return template[:-1] if template.endswith("/") else template + "/"


def declared_routes(
    routes: Sequence[BaseRoute], prefix: str = ""
) -> Iterator[tuple[str, Collection[str], RouteContext]]:
    """The template, the methods and the route of all that can be asked by HTTP, also below mounts.

    A mounted app that shows no routes of its own counts as one route, which is read.
    """
    for route in iter_route_contexts(routes):
        mount = route.original_route if isinstance(route.original_route, Mount) else None
        path = prefix + ((isinstance(route.original_route, APIRoute) and route.path_format) or route.path or "")
        if mount and mount.routes:
            yield from declared_routes(mount.routes, path)
        elif path and (methods := ("GET",) if mount else route.methods):
            yield path, methods, route
