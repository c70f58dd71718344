"""Pyramids that objects make while they are pooled: the interface, and reading ahead of the pooling."""
