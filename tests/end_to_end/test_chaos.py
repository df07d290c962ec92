"""The load of `make chaos` keeps true books: a service that is killed under it loses nothing and does nothing twice."""

from tests.chaos.books import judge
from tests.chaos.load import Load
from tests.fixtures.waiting import eventually

WRITES = 10


def test_the_books_are_right_after_a_service_was_killed_under_load(own_stack):
    load = Load(own_stack.urls, own_stack.settings.values, tenants=1, writers=4)

    def more(since: int) -> bool:
        return sum(1 for each in load.ledger[since:] if each.id) >= WRITES

    with load.running():
        eventually(lambda: more(0))
        own_stack.kill("budget")
        eventually(lambda: any(each.failure for each in load.attempts))
        own_stack.start("budget")
        own_stack.wait_until_ready("budget")
        before = len(load.ledger)
        eventually(lambda: more(before))
    judged = judge(load.ledger, load.found())
    assert (judged.lost, judged.doubled, judged.money, load.surprises) == ({}, {}, [], [])
    assert all(each.id for each in load.ledger)
