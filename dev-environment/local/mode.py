"""Which way the stack runs: chosen by `make up`, remembered for the other verbs."""

from pathlib import Path

from local import engine
from local.settings import SettingError, Settings

MODES = ("local", "docker")


def choose(settings: Settings, asked: str | None) -> tuple[str, str]:
    """The mode to start in, and why: what is asked for, else MODE, else the last one, else docker if it can be had."""
    wanted = asked or settings.values["MODE"]
    if wanted:
        if wanted not in MODES:
            raise SettingError(f"MODE must be local or docker, not {wanted!r}")
        return wanted, "MODE says so"
    if _file(settings).exists():
        last = remembered(settings)
        return last, f"as the last time; MODE={next(each for each in MODES if each != last)} is the other one"
    if lacking := engine.lacking():
        return "local", f"{lacking}; with Docker come Prometheus, Grafana, Kibana and Jaeger too"
    return "docker", "a Docker Engine answers; MODE=local runs without it"


def remember(settings: Settings, mode: str, parts: str = "") -> None:
    """Keep the mode for `down`, `status`, `restart`, `logs` and `clean`, and which parts of it run."""
    settings.make_state()
    _file(settings).write_text(f"{mode}\n{parts}\n")


def remembered(settings: Settings) -> str:
    """The mode of the last `make up` of this checkout."""
    return _lines(settings)[0]


def parts(settings: Settings) -> str:
    """The PARTS of the last `make up` of this checkout."""
    return _lines(settings)[1]


def forget(settings: Settings) -> None:
    """Begin as if the stack had never been started."""
    _file(settings).unlink(missing_ok=True)


def _lines(settings: Settings) -> tuple[str, str]:
    mode, _, parts = (_file(settings).read_text() if _file(settings).exists() else "local").partition("\n")
    return mode, parts.strip()


def _file(settings: Settings) -> Path:
    return settings.state / "mode"
