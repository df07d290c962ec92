"""Become one service, the page or a watcher. supervisord starts this program, so that each start reads the settings again."""

import os
import sys

from stack import environment, settings
from stack.local import watchers
from stack.services import PAGE, PROGRAMS, Service, service_named


def command(service: Service, current: settings.Settings) -> list[str]:
    """The command line of a service. Its option -X has no effect: it marks the process as one of this stack."""
    return [sys.executable, "-X", f"all-erp={current.state}", "-m", service.module]


if __name__ == "__main__":
    current = settings.read()
    program = service_named(sys.argv[1], (*PROGRAMS, PAGE, *watchers.WATCHERS))
    if program is PAGE:
        os.nice(10)  # who looks on does not slow down who works
        os.execve(sys.executable, command(PAGE, current), environment.of_service(PAGE, current))
    if isinstance(program, Service):
        given = environment.of_service(program, current)
        os.execve(sys.executable, command(program, current), given | watchers.spans_too(current, given))
    arguments, variables = watchers.prepare(program, current)
    os.execve(arguments[0], arguments, variables)
