"""Files: each format is read or written in one place."""
