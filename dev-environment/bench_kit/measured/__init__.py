"""The service that is measured: one table and one endpoint, with the kit and without."""
