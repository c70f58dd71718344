"""Box files: one module a format, one table for all of them."""
