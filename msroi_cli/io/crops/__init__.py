"""The crops file: what is in it, reading it, and writing it so that nothing is lost."""
