"""What a terminal shows of a running stack: log lines, traces and dead events."""
