"""What every service would otherwise write again: app, settings, database, events, tokens, problems, pages."""
