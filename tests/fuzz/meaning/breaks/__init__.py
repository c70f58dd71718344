"""Ways to break one fact of a job, or to add one ambiguity."""
