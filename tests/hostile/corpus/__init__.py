"""The makers of hostile files."""
