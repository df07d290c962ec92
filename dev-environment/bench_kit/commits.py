"""Events that are committed as rules commit them, but as fast as one client can."""

from uuid import UUID, uuid4

from libs.contracts.budget import AccountOpened
from libs.service_kit.events.outbox import publish
from libs.service_kit.transactions import Sessions, transaction

TENANTS = 10
EVENTS_A_TRANSACTION = 50


async def commit(sessions: Sessions, count: int) -> None:
    """Publish events as rules do, for several tenants in turn."""
    tenants = [uuid4() for _ in range(TENANTS)]
    for number in range(0, count, EVENTS_A_TRANSACTION):
        async with transaction(sessions, tenants[number // EVENTS_A_TRANSACTION % TENANTS], UUID(int=1)) as session:
            for each in range(number, min(number + EVENTS_A_TRANSACTION, count)):
                publish(session, AccountOpened(account_id=uuid4(), code=f"a-{each}", name="An account"))
