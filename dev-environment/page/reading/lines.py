"""The last log lines of all services, in memory, of the last hour."""

from collections.abc import Mapping
from pathlib import Path

from stack.watch.logs import Line


class Lines:
    """The lines by their number, which grows by one with each line; the oldest go first."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        """`folders` of log files by service."""
        self.skipped = 0

    def find(
        self,
        *,
        service: str = "",
        level: str = "",
        tenant: str = "",
        user: str = "",
        trace: str = "",
        text: str = "",
        limit: int = 500,
    ) -> list[tuple[int, Line]]:
        """The newest lines, the newest last: of `level` and above, of ids that begin so, with `text` anywhere."""
        raise NotImplementedError

    def since(self, number: int) -> list[tuple[int, Line]]:
        """The lines after this number: what is new for who has seen it."""
        raise NotImplementedError

    async def of_trace(self, trace_id: str) -> list[Line]:
        """The lines of one trace, the oldest first; sought in all files if memory begins after the trace."""
        raise NotImplementedError
