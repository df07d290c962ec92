"""A service with one table and one router: the least that uses all of the kit."""
