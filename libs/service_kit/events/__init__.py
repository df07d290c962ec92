"""Events: written with the rule's own transaction, relayed after it, and each taking effect once where it arrives."""
