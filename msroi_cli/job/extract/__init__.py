"""`extract`: read, plan, pool, write."""
