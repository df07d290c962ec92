"""Every rule of Prometheus in many variants, each wrong in one place."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import promql_parser as promql

OTHER_AGGREGATION = {"sum": "max", "max": "min", "min": "max", "avg": "max", "count": "sum"}
SETS = {"and", "or", "unless"}
Shape = tuple[list[promql.Expr], Callable[[list[str]], str]]


def mutants(rule: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each variant of a rule, with the words that say what is wrong in it."""
    seen: Counter[str] = Counter()
    for change, expr in expressions(promql.parse(rule["expr"])):
        seen[change] += 1
        yield change if seen[change] == 1 else f"{change}, #{seen[change]}", {**rule, "expr": expr}
    if "for" in rule:
        without = copy.deepcopy(rule)
        del without["for"]
        yield "no `for`", without
        yield "`for` x 3", {**rule, "for": duration(3 * promql.parse_duration(rule["for"]))}


def expressions(node: promql.Expr) -> Iterator[tuple[str, str]]:
    """Each variant of an expression: of this node, and of each node below it."""
    yield from variants(node)
    children, build = shape(node)
    for index, child in enumerate(children):
        texts = [text(each) for each in children]
        for change, changed in expressions(child):
            yield change, build([*texts[:index], changed, *texts[index + 1 :]])


def variants(node: promql.Expr) -> Iterator[tuple[str, str]]:
    match node:
        case promql.NumberLiteral():
            for other in (2 * node.val, node.val / 2) if node.val else (2.0,):
                yield f"{node.val:.15g} -> {other:.15g}", f"{other:.15g}"
        case promql.MatrixSelector():
            for factor in (2, 0.5):
                yield f"{text(node)}: window x {factor}", selector(node.vector_selector, window=factor * node.range)
        case promql.SubqueryExpr():
            for factor in (2, 0.5):
                wider = f"[{duration(factor * node.range)}:{duration(node.step)}]"
                yield f"{text(node)}: window x {factor}", text(node.expr) + wider
        case promql.BinaryExpr() if str(node.op) in SETS:
            yield f"without `{node.op} {text(node.rhs)}`", f"({text(node.lhs)})"
            yield f"without `{text(node.lhs)} {node.op}`", f"({text(node.rhs)})"
        case promql.AggregateExpr():
            yield from aggregations(node)
        case _:
            pass
    if isinstance(node, promql.MatrixSelector | promql.VectorSelector):
        inner, window = (node.vector_selector, node.range) if isinstance(node, promql.MatrixSelector) else (node, None)
        for index, left_out in enumerate(inner.matchers.matchers):
            kept = inner.matchers.matchers[:index] + inner.matchers.matchers[index + 1 :]
            yield f"{text(node)} without {matcher(left_out)}", selector(inner, kept, window)
        if inner.offset:
            for factor in (2, 0.5):
                yield f"{text(node)}: offset x {factor}", selector(inner, window=window, offset=factor * inner.offset)


def aggregations(node: promql.AggregateExpr) -> Iterator[tuple[str, str]]:
    operation, labels = str(node.op), list(node.modifier.labels) if node.modifier else []
    build = shape(node)[1]
    inside = [text(node.expr)]
    yield f"{operation} -> {OTHER_AGGREGATION[operation]}", aggregation(OTHER_AGGREGATION[operation], labels, inside)
    for label in labels:
        kept = [each for each in labels if each != label]
        yield f"{build(['…'])} without {label}", aggregation(operation, kept, inside)


def text(node: promql.Expr) -> str:
    """The node as PromQL. promql_parser's own printer forgets to escape backslashes."""
    children, build = shape(node)
    return build([text(child) for child in children])


def shape(node: promql.Expr) -> Shape:
    """The nodes directly below a node, and how it is written when each of them is a text."""
    match node:
        case promql.NumberLiteral():
            return [], lambda _: f"{node.val:.15g}"
        case promql.StringLiteral():
            return [], lambda _: quoted(node.val)
        case promql.VectorSelector():
            return [], lambda _: selector(node)
        case promql.MatrixSelector():
            return [], lambda _: selector(node.vector_selector, window=node.range)
        case promql.SubqueryExpr():
            return [node.expr], lambda inner: f"{inner[0]}[{duration(node.range)}:{duration(node.step)}]"
        case promql.ParenExpr():
            return [node.expr], lambda inner: f"({inner[0]})"
        case promql.UnaryExpr():
            return [node.expr], lambda inner: f"-{inner[0]}"
        case promql.Call():
            return list(node.args), lambda inner: f"{node.func.name}({', '.join(inner)})"
        case promql.AggregateExpr():
            labels = list(node.modifier.labels) if node.modifier else []
            return [node.expr], lambda inner: aggregation(str(node.op), labels, inner)
        case promql.BinaryExpr():
            return [node.lhs, node.rhs], lambda inner: f"{inner[0]} {node.op}{matching(node)} {inner[1]}"
        case _:
            raise TypeError(f"no rule has used {type(node).__name__} so far: {node}")


def selector(
    node: promql.VectorSelector,
    matchers: list[promql.Matcher] | None = None,
    window: timedelta | None = None,
    offset: timedelta | None = None,
) -> str:
    """A selector with other matchers, another window or another offset than it has."""
    chosen = node.matchers.matchers if matchers is None else matchers
    labels = "{" + ", ".join(map(matcher, chosen)) + "}" if chosen else ""
    back = offset or node.offset
    return (
        f"{node.name}{labels}"
        + (f"[{duration(window)}]" if window else "")
        + (f" offset {duration(back)}" if back else "")
    )


def matcher(each: promql.Matcher) -> str:
    operator = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}[str(each.op).rpartition(".")[2]]
    return f"{each.name}{operator}{quoted(each.value)}"


def aggregation(operation: str, labels: list[str], inner: list[str]) -> str:
    return f"{operation} by ({', '.join(labels)}) ({inner[0]})" if labels else f"{operation}({inner[0]})"


def matching(node: promql.BinaryExpr) -> str:
    """The `bool` or `on (…) group_left ()` of an operator."""
    modifier = node.modifier
    if modifier is None or modifier.matching is None:
        return " bool" if modifier and modifier.return_bool else ""
    word = "on" if modifier.matching.type == promql.LabelModifierType.Include else "ignoring"
    group = " group_left ()" if modifier.card == promql.VectorMatchCardinality.ManyToOne else ""
    return f" {word} ({', '.join(modifier.matching.labels)}){group}"


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def duration(length: timedelta) -> str:
    return f"{length.total_seconds():.0f}s"
