"""Several pyramid files as one pyramid."""
