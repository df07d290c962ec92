"""The mode in which the stack runs: `make up` chooses it, the other verbs remember it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stack.docker import engine
from stack.errors import SettingError
from stack.settings import Settings

MODES = ("local", "docker", "kubernetes")


def choose(settings: Settings, asked: str | None) -> tuple[str, str]:
    """The mode to start in, and why: the one `asked` for, else MODE, else the last one, else docker if an engine answers."""
    if wanted := asked or settings.values["MODE"]:
        if wanted not in MODES:
            raise SettingError(f"MODE must be {', '.join(MODES[:-1])} or {MODES[-1]}, not {wanted!r}.")
        return wanted, "MODE says so"
    if _file(settings).exists():
        last = remembered(settings)
        return last, f"as the last time; MODE={' or MODE='.join(each for each in MODES if each != last)} is another one"
    if reason := engine.why_unavailable():
        return "local", f"{reason}; with Docker come Prometheus, Grafana, Kibana and Jaeger too"
    return "docker", "a Docker Engine answers; MODE=local runs without it"


def is_settled(settings: Settings, asked: str | None) -> bool:
    """Whether somebody has chosen a mode, now or before."""
    return bool(asked or settings.values["MODE"]) or _file(settings).exists()


def remember(settings: Settings, mode: str, parts: str = "", scale: str = "") -> None:
    """Keep the mode, which parts of it run, and how many of each service, for later verbs."""
    settings.make_state()
    used = sorted({*_kept(settings)["used"], mode})
    unfinished = _file(settings).with_suffix(".new")  # so that nobody reads a half, whenever this process is killed
    unfinished.write_text(json.dumps({"mode": mode, "parts": parts, "scale": scale, "used": used}))
    unfinished.replace(_file(settings))


def remembered(settings: Settings) -> str:
    """The mode of the last `make up` of this checkout."""
    return _kept(settings)["mode"]


def parts(settings: Settings) -> str:
    """The PARTS of the last `make up` of this checkout."""
    return _kept(settings)["parts"]


def scale(settings: Settings) -> str:
    """The SCALE of the last `make up` of this checkout."""
    return _kept(settings).get("scale", "")  # an older file has none


def used(settings: Settings) -> list[str]:
    """The modes that `make clean` has to clean up after."""
    kept = _kept(settings)
    return kept["used"] or [kept["mode"]]


def has_used(settings: Settings, mode: str) -> bool:
    """Whether this checkout has started a stack in a mode, and not removed it since."""
    return mode in _kept(settings)["used"]


def forget(settings: Settings, modes: Sequence[str] = MODES) -> None:
    """Treat these modes as if the stack had never been started in them."""
    left = [each for each in used(settings) if each not in modes]
    _file(settings).unlink(missing_ok=True)
    for each in left:
        remember(settings, each)


def _kept(settings: Settings) -> dict[str, Any]:
    file = _file(settings)
    if file.exists():
        return json.loads(file.read_text())
    # Somebody may have started the containers by plain docker compose.
    mode = settings.values["MODE"] or ("docker" if engine.running() else "local")
    return {"mode": mode, "parts": "", "used": []}


def _file(settings: Settings) -> Path:
    return settings.state / "mode.json"
