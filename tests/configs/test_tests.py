"""The tests are written one way: each module says what it holds, and what has type annotations follows one rule."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = {str(path.relative_to(ROOT)): path for path in sorted((ROOT / "tests").rglob("*.py"))}
EVERY_KIND_OF_FUNCTION = """
class TestThings:
    def test_in_a_class(self): ...
    def test_typed_in_a_class(self, thing: int): ...
    def helper(self, thing): ...

def test_bare(thing, *, other=1):
    def helper(thing: int): ...
    lambda anything: anything

def test_typed(thing: int): ...
async def test_that_returns(thing) -> None: ...
def helper(first: int, *rest: int, option: bool = False, **more: int) -> int: ...
async def half_typed(first: int, *rest, **more: int) -> int: ...
"""

every_module = pytest.mark.parametrize("module", MODULES)


def parse(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


def badly_typed(tree: ast.AST, *, is_function: bool = False, is_class: bool = False) -> Iterator[str]:
    """Name each test function that has an annotation, and each other function that lacks one.

    A test is what pytest collects: by its name, in a module or a class; a function within a function is a helper.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            annotations = [each.annotation for each in parameters(node, is_method=is_class)] + [node.returns]
            is_test = node.name.startswith("test_") and not is_function
            if any(annotations) if is_test else not all(annotations):
                yield f"line {node.lineno}: {node.name}"
            yield from badly_typed(node, is_function=True)
        elif isinstance(node, ast.ClassDef):
            yield from badly_typed(node, is_function=is_function, is_class=True)
        else:
            yield from badly_typed(node, is_function=is_function, is_class=is_class)


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef, *, is_method: bool) -> list[ast.arg]:
    """The parameters that can be annotated: all but `self` or `cls`."""
    given = function.args
    by_position = [*given.posonlyargs, *given.args]
    if is_method and not any(
        isinstance(each, ast.Name) and each.id == "staticmethod" for each in function.decorator_list
    ):
        by_position = by_position[1:]
    return [*by_position, *given.kwonlyargs, *(each for each in (given.vararg, given.kwarg) if each)]


@every_module
def test_a_module_opens_with_a_sentence_on_what_it_holds(module):
    first_paragraph = (ast.get_docstring(parse(module)) or "").partition("\n\n")[0]
    assert first_paragraph.endswith((".", ":"))


@every_module
def test_tests_have_no_annotations_and_fixtures_and_helpers_have_all(module):
    assert list(badly_typed(parse(module))) == []


def test_the_rule_on_annotations_knows_tests_methods_and_nested_functions():
    assert list(badly_typed(ast.parse(EVERY_KIND_OF_FUNCTION))) == [
        "line 4: test_typed_in_a_class",
        "line 5: helper",
        "line 8: helper",
        "line 11: test_typed",
        "line 12: test_that_returns",
        "line 14: half_typed",
    ]
