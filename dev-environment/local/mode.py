"""Which way the stack runs: chosen by `make up`, remembered for the other verbs."""

from local.settings import SettingError, Settings

MODES = ("local", "docker")


def choose(settings: Settings, asked: str | None) -> tuple[str, str]:
    """The mode to start in, and why: what is asked for, else the variable MODE, else the mode of the last start."""
    wanted = asked or settings.values["MODE"]
    if not wanted:
        last = remembered(settings)
        return last, f"as the last time; MODE={next(each for each in MODES if each != last)} is the other one"
    if wanted not in MODES:
        raise SettingError(f"MODE must be local or docker, not {wanted!r}")
    return wanted, "MODE says so"


def remember(settings: Settings, mode: str) -> None:
    """Keep the mode for `down`, `status`, `restart`, `logs` and `clean`."""
    settings.make_state()
    (settings.state / "mode").write_text(mode)


def remembered(settings: Settings) -> str:
    """The mode of the last `make up` of this checkout."""
    file = settings.state / "mode"
    return file.read_text() if file.exists() else "local"


def forget(settings: Settings) -> None:
    """Begin as if the stack had never been started."""
    (settings.state / "mode").unlink(missing_ok=True)
