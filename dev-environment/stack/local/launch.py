"""Become one service or watcher. supervisord starts this program, so that each start reads the settings again."""

import os
import sys

from stack import environment, settings
from stack.local import watchers
from stack.services import PROGRAMS, Service, service_named


def command(service: Service, current: settings.Settings) -> list[str]:
    """The command line of a service. Its option -X has no effect: it marks the process as one of this stack."""
    return [sys.executable, "-X", f"all-erp={current.state}", "-m", service.module]


if __name__ == "__main__":
    current = settings.read()
    program = service_named(sys.argv[1], (*PROGRAMS, *watchers.WATCHERS))
    if isinstance(program, Service):
        given = environment.of_service(program, current)
        os.execve(sys.executable, command(program, current), given | watchers.spans_too(current, given))
    arguments, variables = watchers.prepare(program, current)
    os.execve(arguments[0], arguments, variables)
