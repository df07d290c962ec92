"""Reads of accounts."""

from uuid import UUID

from sqlalchemy import Select, select

from services.budget.accounts.models import Account


def accounts(tenant_id: UUID) -> Select[Account]:
    """The tenant's accounts."""
    return select(Account).where(Account.tenant_id == tenant_id)
