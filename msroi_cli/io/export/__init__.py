"""Crops in the files that other programs read."""
