"""Become one service: what supervisord starts, so that each start reads the settings anew."""

import os
import sys

from local import environment, settings


def command(service: settings.Service, current: settings.Settings) -> list[str]:
    """The command line of a service. The option -X means nothing to it: it tells whose process this is."""
    return [sys.executable, "-X", f"all-erp={current.state}", "-m", f"services.{service.short}.main"]


if __name__ == "__main__":
    current = settings.read()
    service = settings.service_named(sys.argv[1])
    os.execve(sys.executable, command(service, current), environment.of_service(service, current))
