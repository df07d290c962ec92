"""Publishes a new signing key, which signs once every service has it; the one of now is accepted until its tokens end.

python -m services.auth.rotate_keys      (connects as the service's own role, with DATABASE__URL)
"""

from libs.service_kit.settings import load
from libs.service_kit.transactions import transaction
from services.auth import commands
from services.auth.keys import service as keys
from services.auth.settings import Settings


async def rotate(settings: Settings) -> str:
    """Rotate, and return what has become of it. A key that waits for its time is not followed by another."""
    async with commands.opened(settings.database) as sessions, transaction(sessions) as session:
        key, is_new = await keys.rotate(session)
        done = "is published" if is_new else "was published before"
        return f"The key {key.kid} {done}, and signs from {key.signs_from:%Y-%m-%d %H:%M:%S} UTC."


async def _main() -> None:
    print(await rotate(load(Settings)))


if __name__ == "__main__":
    commands.run("the keys cannot be rotated", _main)
