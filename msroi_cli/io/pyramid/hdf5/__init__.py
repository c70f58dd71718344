"""Pyramids in HDF5: one module a layout."""
