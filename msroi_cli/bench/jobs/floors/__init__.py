"""Scripts to measure jobs against, each run by its path as a process of its own, with nothing of msroi."""
