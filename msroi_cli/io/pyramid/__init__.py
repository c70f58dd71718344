"""Feature pyramids: one module a format, one interface for all of them."""
