"""The measured service: one table and one endpoint, with and without the kit."""
