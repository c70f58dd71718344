"""Whole jobs from start to end, timed beside what they cannot do without."""
