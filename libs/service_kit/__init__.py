"""The code that all services share: app, settings, database, events, tokens, problems, pages."""
