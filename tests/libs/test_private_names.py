"""Nothing in libs and services uses a private name of another package: such a name may go with the package's next release."""

from pathlib import Path

import pytest

from tests.libs.private_names import find

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("libs", "services")


def names_in(tmp_path: Path, source: str, **others: str) -> list[str]:
    """What is found in a module of our package `ours`, which may have other modules."""
    folder = tmp_path / "ours"
    folder.mkdir()
    for name, text in {"__init__": "", "module": source, **others}.items():
        (folder / f"{name}.py").write_text(text)
    return [finding.name for finding in find(tmp_path, ["ours"])]


def test_no_private_name_of_another_package_is_used():
    assert find(ROOT, PACKAGES) == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("from asyncio import _get_running_loop", ["_get_running_loop"]),
        ("import concurrent.futures._base", ["_base"]),
        ("from concurrent.futures._base import Future", ["_base"]),
        ("import asyncio.events as e\ne._get_running_loop()", ["_get_running_loop"]),
        ("def f(app):\n    return app._telemetry", ["_telemetry"]),
        ("def f(app):\n    return getattr(app, '_telemetry', None)", ["_telemetry"]),
        ("def f(app):\n    setattr(app, '_telemetry', 1)\n    return hasattr(app, '_other')", ["_telemetry", "_other"]),
        ("from operator import attrgetter\nf = attrgetter('name', 'parent._name')", ["_name"]),
        ("def f(app):\n    return app.__dict__['_telemetry'], vars(app)['_other']", ["_other", "_telemetry"]),
        ("def f(app):\n    app._telemetry = 1\n    del app._other", ["_telemetry", "_other"]),
        # A base class of another package has it, whether by its class or by an instance.
        ("from logging import Handler\nclass H(Handler):\n    def f(self): return self._name", ["_name"]),
        ("from logging import Handler\nclass H(Handler):\n    def f(self): self._name = 1", ["_name", "_name"]),
        ("import threading\nclass T(threading.Thread):\n    def _bootstrap(self): ...", ["_bootstrap"]),
        ("import threading\nclass T(threading.Thread):\n    def f(self): return super()._bootstrap()", ["_bootstrap"]),
        ("from ours.other import Mine\nclass H(Mine):\n    def f(self): return self._name", ["_name"]),
        # Another object's, though a class of ours has the name for itself.
        ("from queue import Queue\nclass A:\n    _put = 1\ndef f(queue: Queue): queue._put(1)", ["_put"]),
        ("from queue import Queue\nclass A:\n    _init = 1\nQueue._init", ["_init"]),
        ("class A:\n    def f(self, other): return self._unknown", ["_unknown"]),
        # Of something of ours that is not known to define it, because it inherits it or is another package's object.
        ("from ours.other import app\napp._telemetry", ["_telemetry"]),
        ("from ours.other import app\ndef f(app): return app._telemetry", ["_telemetry"]),
        ("from ours.other import _helper\ndef f(*_helper): return _helper._telemetry", ["_telemetry"]),
        ("from . import other\nother._unknown()\nother.app._telemetry", ["_telemetry", "_unknown"]),
        ("from ours.other import Mine\nMine._name", ["_name"]),
        ("from ours.other import Mine\nclass A:\n    _name = 1\ndef f(mine: Mine): mine._name", ["_name"]),
        (
            "import ours.other as other\nclass A:\n    _name = 1\ndef f(mine: 'other.Mine | None'): mine._name",
            ["_name"],
        ),
    ],
)
def test_it_is_found_however_it_is_used(tmp_path, source, names):
    other = "import logging, fastapi\nclass Mine(logging.Handler): ...\napp = fastapi.FastAPI()\ndef _helper(): ..."
    assert sorted(names_in(tmp_path, source, other=other)) == sorted(names)


@pytest.mark.parametrize(
    "source",
    [
        "class A:\n    def __init__(self): self._a = 1\n    def f(self): return self._a",
        "class A:\n    _a: int\n    def f(self): return lambda: self._a",
        "class A:\n    __slots__ = ('_a',)\n    def __eq__(self, other): return self._a == other._a",
        "class A:\n    def _f(self): ...\ndef f(a: A): a._f()",
        "class A:\n    @classmethod\n    def _f(cls): return cls._f",
        "from logging import Handler\nclass H(Handler):\n    def f(self): self._mine = 1",
        "from ours.other import Mine\nclass A(Mine):\n    def f(self): return self._own, super()._own",
        "from .other import Mine\nclass A(Mine):\n    def f(self): return getattr(self, '_own')",
        "from .other import _helper\n_helper()",
        "from . import other\nother._helper()",
        "from .other import Mine, mine\ndef f(given: Mine | None): return given._own, mine._own",
        "from enum import Enum\ndef f(kind: Enum): return kind._value_, kind.__class__",
        "_here = 1\nprint(_here)",
        "for _ in (): ...",
    ],
)
def test_our_own_private_names_and_documented_ones_are_let_alone(tmp_path, source):
    other = "class Mine:\n    def __init__(self): self._own = 1\nmine = Mine()\ndef _helper(): ..."
    assert names_in(tmp_path, source, other=other) == []
