"""Which way the stack runs: chosen by `make up`, remembered for the other verbs."""

from local.settings import ROOT, SettingError, Settings

COMPOSE_FILE = "docker-compose.dev.yml"


def choose(settings: Settings, asked: str | None) -> tuple[str, str]:
    """The mode to start in, and why; `asked` comes before the variable MODE."""
    wanted = asked or settings.values["MODE"]
    if wanted == "local":
        return "local", "MODE says so"
    if wanted == "docker":
        raise SettingError(f"MODE=docker needs {COMPOSE_FILE}, which this checkout does not have; use MODE=local")
    if wanted:
        raise SettingError(f"MODE must be local or docker, not {wanted!r}")
    return "local", f"there is no {COMPOSE_FILE} in {ROOT}"


def remember(settings: Settings, mode: str) -> None:
    """Keep the mode for `down`, `status`, `restart`, `logs` and `clean`."""
    settings.state.mkdir(parents=True, exist_ok=True)
    (settings.state / "mode").write_text(mode)


def remembered(settings: Settings) -> str:
    """The mode of the last `make up` of this checkout."""
    file = settings.state / "mode"
    return file.read_text() if file.exists() else "local"
