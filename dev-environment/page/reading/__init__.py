"""What the page shows, read from what the stack writes and answers anyway, and kept in bounded memory for an hour."""
