"""The rules of service accounts: bootstrap creates them, and a secret proves them."""

import hashlib
import hmac
from functools import partial

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts import PLATFORM_TENANT_ID
from libs.observability import bind, get_logger
from libs.service_kit.transactions import Sessions, after_commit, transaction
from libs.services import SERVICES
from services.auth.guesses.service import at_service, forget, guess
from services.auth.keys import service as keys
from services.auth.keys.service import AccessToken
from services.auth.service_accounts.errors import InvalidClient
from services.auth.service_accounts.models import ServiceAccount

log = get_logger(__name__)

CLIENT_IDS = tuple(service.full_name for service in SERVICES)
PERMISSIONS = ["events:deliver"]


async def prove(sessions: Sessions, client_id: str, secret: str, address: str) -> AccessToken:
    """A token for the account. Raises `InvalidClient`, `TooManyGuesses`."""
    counted = guess(sessions, address, at_service(client_id, address))
    async with counted, transaction(sessions, PLATFORM_TENANT_ID) as session:
        return await _check(session, client_id, secret)


async def _check(session: AsyncSession, client_id: str, secret: str) -> AccessToken:
    account = await _find(session, client_id)
    if not hmac.compare_digest(account.secret_hash if account else _hash(""), _hash(secret)) or account is None:
        log.warning("service account refused", client_id=client_id, reason="wrong_secret" if account else "unknown")
        raise InvalidClient()
    bind(tenant_id=str(account.tenant_id), user_id=str(account.id))
    after_commit(session, partial(log.info, "service account token given", client_id=client_id))
    return await keys.sign(
        session, subject=account.id, tenant_id=account.tenant_id, permissions=account.permissions, client_id=client_id
    )


async def set_secret(session: AsyncSession, client_id: str, secret: str) -> bool:
    """Create the account, or set its secret. Returns whether anything changed."""
    account = await _find(session, client_id)
    if account is None:
        account = ServiceAccount(tenant_id=PLATFORM_TENANT_ID, client_id=client_id, permissions=PERMISSIONS)
        session.add(account)
    elif account.secret_hash == _hash(secret):
        return False
    account.secret_hash = _hash(secret)
    await session.flush()
    await forget(session, at_service(client_id, address=""))
    return True


async def _find(session: AsyncSession, client_id: str) -> ServiceAccount | None:
    return await session.scalar(
        select(ServiceAccount).where(
            ServiceAccount.tenant_id == PLATFORM_TENANT_ID, ServiceAccount.client_id == client_id
        )
    )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
