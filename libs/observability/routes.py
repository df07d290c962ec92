"""The template of the route that answered a request: `/api/v1/items/{id}`, the one name for it in metrics, spans and lines."""

from typing import Any

from prometheus_fastapi_instrumentator.routing import get_route_name
from starlette.requests import HTTPConnection
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
