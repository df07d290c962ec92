"""Break the running stack under load, one part after the other, and check the books: `make chaos` calls it.

Writers of a few tenants work all the time. Each part is killed, stopped, paused and cut off from the network, comes back,
and has to be ready before the next one's turn. In the end every acknowledged write must be there in its last state, every
effect once, and the money balanced. The run prints a table and each broken promise.
"""

import argparse
import dataclasses
import json
import signal
import sys
import time
from typing import NoReturn

from stack import environment, mode
from stack.errors import StackError
from stack.services import SERVICES
from stack.settings import Settings, read

from libs.journey.client import UnexpectedAnswer, Unreachable
from libs.journey.steps import StepFailed
from tests.chaos import faults, parts
from tests.chaos.books import Judged, judge
from tests.chaos.load import Load
from tests.chaos.parts import NONE, Part
from tests.chaos.report import MOST_MEMORY_BYTES, Row, table
from tests.chaos.watching import Alert, Watch, log_bytes, wait

BACK_WITHIN_SECONDS = 90.0
"""A part that answers no sooner is given up."""
QUIET_SECONDS, QUIET_WITHIN_SECONDS = 2.0, 45.0
"""A fault is over when for so long nothing has failed; the next one waits for that, but no longer."""
FIRES_WITHIN_SECONDS = 300.0
ENDS_WITHIN_SECONDS = 800.0
"""That something was lost is said for more than ten minutes."""
SCRAPED_SECONDS = 45.0
"""By then an alert has ended whose cause has."""
CLOCK_SECONDS = 2.0
"""By so much the time at which the same process has started may seem to differ."""
LAST_ATTEMPTS = 500
MOST_SURPRISES = 20


def main() -> int:
    """Run and print; returns the exit code."""
    given = parser().parse_args()
    environment.forget_other_servers()
    for each in faults.ENDS:
        signal.signal(each, _interrupt)
    try:
        made = Run(read(), given)
        summary, broken = made.make()
    except (StackError, Unreachable, UnexpectedAnswer, StepFailed) as error:
        say(f"\n{error}")
        return 1
    except KeyboardInterrupt as interrupt:
        say(f"\nInterrupted; {interrupt if interrupt.args else 'what was broken has been brought back'}.")
        return 130
    if given.json:
        rows = [dataclasses.asdict(each) for each in made.rows]
        print(json.dumps({"rows": rows, **summary, "broken": broken}, indent=2))
    else:
        print("\n".join((table(made.rows), "", *(f"{name}: {value}" for name, value in summary.items()))))
        print("\n".join(("", "Broken promises:", *broken) if broken else ("", "Every promise was kept.")))
    return 1 if broken else 0


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--short", action="store_true", help="one fault of each part, no alert: about four minutes")
    names = [*(each.name for each in parts.PARTS), *parts.FAULTS, parts.TAKE_AWAY]
    options.add_argument(
        "--only", nargs="+", default=[], choices=names, metavar="NAME",
        help=f"only these parts, or these faults: {', '.join(names)}",
    )  # fmt: skip
    options.add_argument("--seconds", type=float, help="how long a fault lasts (15; short: 4)")
    options.add_argument("--tenants", type=int, default=2, help="how many tenants work (2)")
    options.add_argument("--writers", type=int, default=6, help="how many people work at the same time (6)")
    options.add_argument("--json", action="store_true", help="one JSON object and nothing else on standard output")
    return options


class Run:
    """A run on a stack in one mode, and what takes part in it."""

    def __init__(self, settings: Settings, given: argparse.Namespace) -> None:
        self.settings = settings
        self.mode = mode.remembered(settings)
        if self.mode not in faults.MEANS:
            raise StackError(
                f"The stack runs in {self.mode} mode: this breaks one in {' or '.join(faults.MEANS)} mode."
            )
        self.running = faults.running(settings, self.mode)
        self.plan = parts.plan(self.running, faults.MEANS[self.mode], given.only, is_short=given.short)
        if not self.plan:
            raise StackError(f"There is nothing to break: what runs is {', '.join(sorted(self.running)) or 'nothing'}.")
        if not parts.ready(settings):
            raise StackError("The services are not ready: `make up` starts them, `make status` shows them.")
        self.is_short = given.short
        self.seconds = given.seconds or (4.0 if given.short else 15.0)
        say(f"Mode: {self.mode}; {len(self.plan)} faults. The writers' tenants are created.")
        urls = {each.short: environment.url(each, settings) for each in SERVICES}
        self.load = Load(urls, settings.values, given.tenants, given.writers)
        self.watch = Watch(settings)
        self.rows: list[Row] = []
        self.waited: list[tuple[Alert, Row]] = []

    def make(self) -> tuple[dict[str, str], list[str]]:
        """Make all faults, then check the books. Returns the summary, and the broken promises."""
        with self.watch.running():
            with self.load.running():
                for part, fault in ((Part("–", lambda _: True, is_telemetry=True), NONE), *self.plan):
                    row = Row(part.name, fault, part.is_telemetry, began=time.time())
                    self.rows.append(row)
                    self._one(part, row)
                    row.ended = time.time()
                    row.count(self.load.attempts, [], [])
                    say(table([row]).splitlines()[-1])
                    for each in row.broken():
                        say(f"  BROKEN {each}")
            self.rows[-1].ended = time.time()
            self._wait_for_the_end_of_alerts()
        say("Reading the books")
        judged = judge(self.load.ledger, self.load.found())
        moments = {each.key: each.at for each in self.load.ledger}
        for row in self.rows:
            row.count(
                self.load.attempts, [moments[each] for each in judged.lost], [moments[each] for each in judged.doubled]
            )
        return self._summary(judged), self._broken(judged)

    def _one(self, part: Part, row: Row) -> None:
        self.watch.look()
        started, logged = dict(self.watch.started), self._log_bytes(row)
        alert = (part.alert, part.about or part.name)
        waits = part.lasts_until_alert(row.fault) and self.mode == "docker"
        fires_before = waits and wait(SCRAPED_SECONDS, lambda: alert not in self.watch.firing) is None
        try:
            with faults.broken(self.settings, faults.MEANS[self.mode], part.name, row.fault):
                if row.fault != "kill":  # which whoever keeps the part alive ends
                    time.sleep(self.seconds)
                if waits:
                    row.alert = f"{part.alert} fired before" if fires_before else self._alert(part, alert, row)
        except StackError as error:
            if was_interrupted(error):
                raise KeyboardInterrupt(str(error)) from error
            row.problems.append(str(error))
        row.returned = time.time()
        if wait(BACK_WITHIN_SECONDS, lambda: part.answers(self.settings)) is None:
            row.problems.append(f"it does not answer {BACK_WITHIN_SECONDS:.0f} s after it was brought back")
        if part.is_service:
            row.started_after = time.time() - row.returned
        else:
            row.returned = time.time()
        if wait(BACK_WITHIN_SECONDS, lambda: parts.ready(self.settings)) is not None:
            row.ready_after = time.time() - row.returned
        wait(QUIET_WITHIN_SECONDS, self._is_quiet)
        self.watch.look()
        ended = {part.name} if row.fault in ("kill", "stop") else set[str]()
        for each in started.keys() - ended:
            if abs(self.watch.started[each] - started[each]) > CLOCK_SECONDS:
                row.problems.append(f"{each} has restarted")
        logged_then = self._log_bytes(row)
        if logged is not None and logged_then is not None:
            row.log_bytes = logged_then - logged

    def _log_bytes(self, row: Row) -> int | None:
        try:
            return log_bytes(self.settings, self.mode)
        except (StackError, OSError) as error:
            row.problems.append(f"the log files cannot be measured: {error}")
            return None

    def _alert(self, part: Part, alert: Alert, row: Row) -> str:
        if absent := {"prometheus", part.watcher} - self.running:
            return f"{part.alert} not watched: no {', '.join(sorted(absent))}"
        if self.is_short:
            return f"{part.alert} not waited for"
        if wait(FIRES_WITHIN_SECONDS, lambda: alert in self.watch.firing) is None:
            row.problems.append(f"{part.alert} has not fired")
            return f"{part.alert} not fired"
        self.waited.append((alert, row))
        return f"{part.alert} after {time.time() - row.began:.0f} s"

    def _is_quiet(self) -> bool:
        since = max(time.time() - QUIET_SECONDS, self.rows[-1].returned)
        failed = any(each.failure and each.at + each.seconds > since for each in self.load.attempts[-LAST_ATTEMPTS:])
        return not failed and time.time() - self.rows[-1].returned > QUIET_SECONDS

    def _wait_for_the_end_of_alerts(self) -> None:
        waited = {alert for alert, _ in self.waited}
        if waited & self.watch.firing:
            say(f"Waiting for the end of {', '.join(sorted(name for name, _ in waited & self.watch.firing))}")
        wait(ENDS_WITHIN_SECONDS, lambda: not waited & self.watch.firing)
        for alert, row in self.waited:
            if alert in self.watch.firing:
                row.problems.append(f"{alert[0]} has not ended")
            else:
                row.alert += ", ended"

    def _summary(self, judged: Judged) -> dict[str, str]:
        ledger, watch = self.load.ledger, self.watch
        acknowledged = sum(1 for each in ledger if each.id)
        return {
            "Acknowledged writes": f"{acknowledged:,} ({len(ledger) - acknowledged} were never answered)",
            "Lost": "; ".join(judged.lost.values()) or "0",
            "Doubled": "; ".join(judged.doubled.values()) or "0",
            "Money": "; ".join(judged.money) or "balanced",
            "Most memory": ", ".join(f"{each} {size / 2**20:.0f} MiB" for each, size in watch.most_memory.items()),
            "Alerts that fired": ", ".join(sorted(f"{name} ({about})" for name, about in watch.fired)) or "none",
        }

    def _broken(self, judged: Judged) -> list[str]:
        large = {name: size for name, size in self.watch.most_memory.items() if size > MOST_MEMORY_BYTES}
        return [
            *(each for row in self.rows for each in row.broken()),
            *(f"lost: {each}" for each in judged.lost.values()),
            *(f"doubled: {each}" for each in judged.doubled.values()),
            *judged.money,
            *(f"{name} has used {size / 2**20:.0f} MiB" for name, size in large.items()),
            *dict.fromkeys(self.load.surprises[:MOST_SURPRISES]),
        ]


def was_interrupted(error: BaseException | None) -> bool:
    """Whether this error came while Ctrl-C was being answered."""
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def say(text: str) -> None:
    """Report progress on standard error."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
