"""The page of the stack without Docker: what its services do, in a browser."""
