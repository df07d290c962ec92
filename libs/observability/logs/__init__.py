"""Log lines: the logger, the line as JSON and as columns, and the handler that every logger of the process writes to."""
