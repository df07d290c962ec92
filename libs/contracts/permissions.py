"""Every permission that a token's `scope` can carry, and what it permits."""

from uuid import UUID

PLATFORM_TENANT_ID = UUID("00000000-0000-0000-0000-000000000001")
"""The tenant of the people and the service accounts that run the platform; its code is `platform`."""

TENANT_PERMISSIONS = {
    "users:read": "see users",
    "users:write": "create users, change their roles, deactivate them, reset their passwords",
    "roles:read": "see roles",
    "roles:write": "create and change roles",
    "personnel:read": "see departments and employees",
    "personnel:write": "change departments, hire, transfer and dismiss people",
    "budget:read": "see years, accounts, allocations, expenditures",
    "budget:write": "open years and accounts, allocate and transfer money",
    "budget:request": "request an expenditure",
    "budget:approve": "approve or reject an expenditure",
    "tenant:export": "export everything that the services hold of the tenant",
    "system:write": "change common codes and settings",
    "audit:read": "search the audit trail",
}

PLATFORM_PERMISSIONS = {
    "tenants:read": "see tenants and how far their provisioning is",
    "tenants:write": "create tenants and their first administrator, suspend, close and export them, change plans",
    "events:deliver": "hand events to a service; for service accounts",
}
