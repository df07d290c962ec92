"""Who may do what: users, roles, logins, the keys of tokens, service accounts."""
