"""Requests built from an OpenAPI document: a plausible one for each operation, with values by field name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete")


@dataclass
class Request:
    """One request; `used` holds the names of the values that went into it."""

    service: str
    method: str
    path: str
    params: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    json: Any = None
    used: set[str] = field(default_factory=set)


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Method, path template and description of every operation."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path, item[method]


def make_request(
    service: str, document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any], values: Any
) -> Request:
    """Build the request of an operation: every parameter and every field of the body comes from `values`, by its name.

    A name that `values` lacks is an AssertionError, so that no new operation can be left out.
    """
    request = Request(service, method, path)

    def take(name: str) -> Any:
        assert name in values, f"{method} {path} of {service} has {name!r}: add a value for it to the test's VALUES"
        request.used.add(name)
        return values[name]

    def body(schema: Mapping[str, Any]) -> Any:
        schema = _resolved(document, schema)
        if schema.get("type") == "object":
            return {
                name: body(each) if "properties" in _resolved(document, each) else take(name)
                for name, each in schema["properties"].items()
            }
        raise AssertionError(f"{method} {path} of {service} has a body that is not an object")

    for parameter in operation.get("parameters", ()):
        name = parameter["name"]
        match parameter["in"]:
            case "path":
                request.path = request.path.replace(f"{{{name}}}", str(take(name)))
            case "query":
                request.params[name] = take(name)
            case _:
                request.headers[name] = str(take(name))
    request.params = {name: value for name, value in request.params.items() if value is not None}
    request.headers = {name: value for name, value in request.headers.items() if value != "None"}
    if "requestBody" in operation:
        request.json = body(operation["requestBody"]["content"]["application/json"]["schema"])
    return request


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in schema:
        return document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema
