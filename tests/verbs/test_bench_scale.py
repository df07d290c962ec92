"""`make bench-scale`, in small: it measures, and its own checks of the books hold."""

import json
import subprocess
import sys

from stack.settings import ROOT


def test_replicas_and_growth_are_measured(environment):
    given = ["--json", "--rounds", "1", "--seconds", "1", "--events", "100", "--tenants", "30", "--entries", "3000"]
    done = subprocess.run(
        [sys.executable, "-m", "bench_scale", *given],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert set(measured["approvals_per_second"]) == set(measured["events_per_second"]) == {"1", "2", "4"}
    assert min(*measured["approvals_per_second"].values(), *measured["events_per_second"].values()) > 0
    assert measured["growth"]["entries"] >= 3000
    assert all(each["small_ms"] > 0 and each["large_ms"] > 0 for each in measured["growth"]["requests"])
