"""Scripts to measure against, each run as a process."""
