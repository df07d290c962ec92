"""Become one service, the probe or the page. supervisord starts this program, so that each start reads the settings again."""

import os
import sys

from stack import environment, settings
from stack.services import PAGE, PROGRAMS, Service, service_named


def command(service: Service, current: settings.Settings) -> list[str]:
    """The command line of a service. Its option -X has no effect: it marks the process as one of this stack."""
    return [sys.executable, "-X", f"all-erp={current.state}", "-m", service.module]


if __name__ == "__main__":
    current = settings.read()
    service = service_named(sys.argv[1], (*PROGRAMS, PAGE))
    if service is PAGE:
        os.nice(10)  # who looks on does not slow down who works
    os.execve(sys.executable, command(service, current), environment.of_service(service, current))
