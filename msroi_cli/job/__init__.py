"""The job: read, plan, pool, write."""
