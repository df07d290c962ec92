"""What telemetry costs, measured on this machine: `make bench-telemetry`."""
