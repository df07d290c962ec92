"""The writers of the chaos run, in a pod: they begin, work until a line comes, and print what they have seen as JSON.

python -m tests.kubernetes.writers
"""

import json
import os
import sys
from dataclasses import asdict

from libs.journey.client import urls
from tests.chaos.books import judge
from tests.chaos.load import Load

TENANTS, WRITERS = 2, 4
WORKING = "the writers work"


def main() -> None:
    """The command line."""
    load = Load(urls(), os.environ, TENANTS, WRITERS)
    with load.running():
        print(WORKING, flush=True)
        sys.stdin.readline()
    judged = judge(load.ledger, load.found())
    seen = {
        "attempts": [asdict(each) for each in load.attempts],
        "surprises": load.surprises,
        "lost": judged.lost,
        "doubled": judged.doubled,
        "money": judged.money,
        "begun": {each.key: each.at for each in load.ledger},
        "acknowledged": sum(bool(each.id) for each in load.ledger),
    }
    print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main()
