"""Boxes joined with a pyramid: the image of each, its place in input pixels, and whether both fit together."""
