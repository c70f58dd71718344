"""Writes the files of a job in every layout and format."""
