"""Events: committed with the rule that publishes them, relayed afterwards, and handled exactly once by each receiver."""
