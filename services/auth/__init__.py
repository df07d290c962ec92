"""The auth service: users, roles, logins, signing keys and service accounts."""
