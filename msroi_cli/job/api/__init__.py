"""`msroi extract` from Python."""
