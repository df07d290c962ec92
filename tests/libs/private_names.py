"""Finds the private names of other packages that a source uses: imported, as an attribute, or by its name as a string.

A name is private if it begins with an underscore and is not one that the language or a class's author documents
(`__x__`, `_x_`). It is ours where we define it and no base class from another package does. Who must define it:
- of an attribute of `self`, `cls` or `super()`: that class, or a base of ours;
- of an attribute of a module or class of ours, or of a parameter that is annotated with one: that module or class;
- of an attribute of any other object that we import from a module of ours: a class of that module;
- of an attribute of anything else that is not known to come from another package: a class of the same module.
Base classes from other packages are imported, to see what they define.
"""

import ast
import inspect
import textwrap
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
BY_STRING = {"getattr": 1, "setattr": 1, "hasattr": 1, "delattr": 1, "attrgetter": 0, "methodcaller": 0}
"""Functions that take the name of an attribute, and at which place."""
SAYS_NOTHING = ("typing", "collections", "builtins")
"""Where the names of annotations come from that do not say whose an object is."""


@dataclass(frozen=True, order=True)
class Finding:
    """One use of a private name."""

    file: str
    line: int
    name: str


@dataclass
class Class:
    """A class of ours."""

    bases: list[str]
    """Where they come from: `libs.a.B` or `logging.Handler`."""
    defined: set[str]


@dataclass
class Module:
    """A module of ours."""

    name: str
    file: str
    tree: ast.Module
    imported: dict[str, str] = field(default_factory=dict[str, str])
    """The name in this module, and what it stands for."""
    classes: dict[str, Class] = field(default_factory=dict[str, Class])
    defined: set[str] = field(default_factory=set[str])
    """The private names of the module itself, imported ones too."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("_")


def find(root: Path, packages: Collection[str]) -> list[Finding]:
    """What the sources of our packages, which are folders of `root`, use of others."""
    files = [file for package in packages for file in sorted((root / package).rglob("*.py"))]
    modules = {module.name: module for module in (_read(file, root) for file in files)}
    return sorted({finding for module in modules.values() for finding in _Uses(module, modules, packages).all()})


def _read(file: Path, root: Path) -> Module:
    path = file.relative_to(root)
    is_package = path.name == "__init__.py"
    parts = (path.parent if is_package else path.with_suffix("")).parts
    module = Module(".".join(parts), str(path), ast.parse(file.read_text()))
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                name = each.asname or each.name.split(".")[0]
                module.imported[name] = each.name if each.asname else name
        elif isinstance(node, ast.ImportFrom):
            above = parts[: len(parts) - node.level + is_package] if node.level else ()
            origin = ".".join([*above, *([node.module] if node.module else [])])
            module.imported |= {each.asname or each.name: f"{origin}.{each.name}" for each in node.names}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef):
            bases = [_dotted(base) for base in node.bases]
            module.classes[node.name] = Class([_resolve(module, base) for base in bases if base], _defined_by(node))
    module.defined = {name for name in _names_of(module.tree.body) | module.imported.keys() if is_private(name)}
    return module


def _dotted(node: ast.AST) -> str:
    """`a.b` of an expression like that, subscripted or not; an empty string of any other."""
    if isinstance(node, ast.Subscript):
        return _dotted(node.value)
    if isinstance(node, ast.Attribute):
        return f"{before}.{node.attr}" if (before := _dotted(node.value)) else ""
    return node.id if isinstance(node, ast.Name) else ""


def _resolve(module: Module, dotted: str) -> str:
    """Where a name comes from: by the imports, else from the module itself."""
    first, *rest = dotted.split(".")
    return ".".join([module.imported.get(first, f"{module.name}.{first}"), *rest])


def _defined_by(node: ast.ClassDef) -> set[str]:
    """What the body of a class and its methods define, on the class or on `self`."""
    names = _names_of(node.body)
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) and (me := _first_parameter(statement)):
            names |= {
                each.attr
                for each in ast.walk(statement)
                if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store) and _dotted(each.value) == me
            }
    return {name for name in names if is_private(name)}


def _names_of(body: list[ast.stmt]) -> set[str]:
    """What the statements of a class or a module define: functions, classes, variables, slots."""
    names: set[str] = set()
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names |= {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
            if "__slots__" in names and statement.value is not None:
                slots = (each.value for each in ast.walk(statement.value) if isinstance(each, ast.Constant))
                names |= {name for name in slots if isinstance(name, str)}
    return names


def _first_parameter(function: Function) -> str:
    parameters = [*function.args.posonlyargs, *function.args.args]
    return parameters[0].arg if parameters else ""


def _parameters(function: Function) -> dict[str, ast.expr | None]:
    """The parameters and their annotations."""
    given = function.args
    every = (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg)
    return {each.arg: each.annotation for each in every if each}


@cache
def _foreign(dotted: str) -> frozenset[str]:
    """The private names that a class of another package, or one of its bases, defines."""
    module, _, name = dotted.rpartition(".")
    try:
        found = getattr(import_module(module or "builtins"), name)
    except (ImportError, AttributeError):
        return frozenset()
    names: set[str] = set()
    for each in getattr(found, "__mro__", ())[:-1]:
        names |= {name for name in vars(each) if is_private(name)}
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(each)))
        except (OSError, TypeError):  # written in C
            continue
        names |= _defined_by(tree.body[0]) if isinstance(tree.body[0], ast.ClassDef) else set()
    return frozenset(names)


def _holder_of_dict(node: ast.expr) -> ast.expr | None:
    """The object of `object.__dict__` or `vars(object)`."""
    if isinstance(node, ast.Attribute) and node.attr == "__dict__":
        return node.value
    return node.args[0] if isinstance(node, ast.Call) and _dotted(node.func) == "vars" and node.args else None


class _Uses:
    """The uses of private names in one module."""

    def __init__(self, module: Module, modules: dict[str, Module], packages: Collection[str]) -> None:
        self.module = module
        self.modules = modules
        self.packages = packages

    def all(self) -> Iterator[Finding]:
        yield from self._in(self.module.tree, [], [])

    def _in(self, node: ast.AST, classes: list[str], functions: list[tuple[Function, str]]) -> Iterator[Finding]:
        """`classes` and `functions` are those around the node, each function with the class whose method it is."""
        line = getattr(node, "lineno", 0)
        for name in self._used(node, functions):
            yield Finding(self.module.file, line, name)
        inside = [*classes, node.name] if isinstance(node, ast.ClassDef) else classes
        if isinstance(node, ast.ClassDef):
            ours, theirs = self._defined(self.module.classes[node.name])
            yield from (Finding(self.module.file, line, name) for name in ours & theirs)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            functions, inside = [*functions, (node, classes[-1] if classes else "")], []
        for child in ast.iter_child_nodes(node):
            yield from self._in(child, inside, functions)

    def _used(self, node: ast.AST, functions: list[tuple[Function, str]]) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (part for each in node.names for part in each.name.split(".") if is_private(part))
        elif isinstance(node, ast.ImportFrom):
            origin = (node.module or "").split(".")
            if not node.level and origin[0] not in self.packages:
                yield from (part for part in (*origin, *(each.name for each in node.names)) if is_private(part))
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            if not self._is_ours(node.value, node.attr, functions):
                yield node.attr
        elif isinstance(node, ast.Call) and (place := BY_STRING.get(_dotted(node.func).split(".")[-1])) is not None:
            names = node.args[place : place + 1] if place else node.args
            for given in names:
                holder = node.args[0] if place else given
                if isinstance(given, ast.Constant) and isinstance(given.value, str):
                    for name in filter(is_private, given.value.split(".")):
                        if not self._is_ours(holder, name, functions):
                            yield name
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            name, holder = node.slice.value, _holder_of_dict(node.value)
            if holder and isinstance(name, str) and is_private(name) and not self._is_ours(holder, name, functions):
                yield name

    def _is_ours(self, holder: ast.expr, name: str, functions: list[tuple[Function, str]]) -> bool:
        dotted = _dotted(holder)
        if isinstance(holder, ast.Call) and _dotted(holder.func) == "super":
            dotted = next((_first_parameter(function) for function, owner in functions if owner), "")
        first, _, rest = dotted.partition(".")
        for function, owner in reversed(functions):
            if owner and dotted == _first_parameter(function):
                return self._defines([self.module.classes[owner]], name)
            if first in (parameters := _parameters(function)):
                annotation = None if rest else parameters[first]
                return self._is_of_annotated(annotation, name) if annotation else self._defines_here(self.module, name)
        if first in self.module.imported or first in self.module.classes:
            return self._is_of_named(_resolve(self.module, dotted), name)
        return self._defines_here(self.module, name)

    def _is_of_annotated(self, annotation: ast.expr, name: str) -> bool:
        """Whether a class that an annotation names defines it, or where it names none, a class of this module."""
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            annotation = ast.parse(annotation.value, mode="eval").body
        names = {_dotted(each) for each in ast.walk(annotation) if isinstance(each, ast.Name | ast.Attribute)}
        known = {each for each in names if {each.split(".")[0]} & (self.module.imported.keys() | self.module.classes)}
        origins = {_resolve(self.module, each) for each in known}
        telling = [origin for origin in origins if origin.split(".")[0] not in SAYS_NOTHING]
        ours = filter(self._is_of_ours, telling)
        return any(self._is_of_named(each, name) for each in ours) if telling else self._defines_here(self.module, name)

    def _is_of_named(self, dotted: str, name: str) -> bool:
        """Whether the module or class defines it, or where this is another object, a class of the module that it is in."""
        if dotted in self.modules:
            return name in self.modules[dotted].defined or f"{dotted}.{name}" in self.modules
        module, _, last = dotted.rpartition(".")
        if found := self._class(module, last):
            return self._defines([found], name)
        while module and module not in self.modules:
            module = module.rpartition(".")[0]
        return bool(module) and self._defines_here(self.modules[module], name)

    def _defines_here(self, module: Module, name: str) -> bool:
        return self._defines(module.classes.values(), name)

    def _defines(self, classes: Iterable[Class], name: str) -> bool:
        """Whether one of these classes defines it, and no base of one that comes from another package does."""
        known = [self._defined(each) for each in classes]
        return any(name in ours for ours, _ in known) and not any(name in theirs for _, theirs in known)

    def _is_of_ours(self, dotted: str) -> bool:
        return dotted.split(".")[0] in self.packages

    def _defined(self, known: Class) -> tuple[set[str], set[str]]:
        """The private names that a class and its bases define: ours, and those of other packages."""
        ours, theirs = set(known.defined), set[str]()
        for base in known.bases:
            module, _, name = base.rpartition(".")
            if self._is_of_ours(base):
                if found := self._class(module, name):
                    more, others = self._defined(found)
                    ours |= more
                    theirs |= others
            else:
                theirs |= _foreign(base)
        return ours, theirs

    def _class(self, module: str, name: str) -> Class | None:
        """A class of ours, also by a module that only passes it on."""
        holder: Any = self.modules.get(module)
        if holder is None:
            return None
        if name in holder.classes:
            return holder.classes[name]
        passed_on = holder.imported.get(name, "").rpartition(".")
        return self._class(passed_on[0], passed_on[2]) if passed_on[0] else None
