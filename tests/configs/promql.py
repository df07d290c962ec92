"""The selectors in a PromQL expression, and the names of the series that the services export."""

import importlib

import promql_parser
from prometheus_client import REGISTRY

from tests.fixtures.database import SERVICES

METRICS_OF_OURS = (
    "libs.journey.probe",
    "libs.observability.metrics.families",
    "libs.observability.metrics.process",
    "libs.service_kit.events.metrics",
    "libs.service_kit.events.rabbitmq",
    "libs.service_kit.availability",
    "libs.service_kit.client",
    "libs.service_kit.events.relay",
    *(f"services.{service}.metrics" for service in SERVICES),
)
SERIES_OF = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "summary": ("", "_sum", "_count"),
    "info": ("_info",),
}


def exported_by_services() -> set[str]:
    """The names of all series that the five services and the probe export, including those without a sample so far."""
    for module in METRICS_OF_OURS:
        importlib.import_module(module)
    return {family.name + suffix for family in REGISTRY.collect() for suffix in SERIES_OF.get(family.type, ("",))}


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    """Every selector of an expression; ValueError if it is not PromQL."""
    found: list[promql_parser.VectorSelector] = []

    def visit(part: object) -> None:
        match part:
            case promql_parser.VectorSelector():
                found.append(part)
            case promql_parser.MatrixSelector():
                visit(part.vector_selector)
            case promql_parser.BinaryExpr():
                visit(part.lhs)
                visit(part.rhs)
            case promql_parser.Call():
                for argument in part.args:
                    visit(argument)
            case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
                pass
            case _:
                visit(part.expr)

    visit(promql_parser.parse(expression))
    return found


def used(expr: str) -> set[str]:
    """The names of the series that an expression reads, and of the alerts whose state it reads."""
    found = selectors(expr)
    states = {
        each.value
        for part in found
        if part.name == "ALERTS"
        for each in part.matchers.matchers
        if each.name == "alertname"
    }
    return {part.name for part in found} | states
