"""Reads files, joins boxes with images and pools crops as the definitions read, without any of msroi."""
