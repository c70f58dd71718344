"""HDF5 files: opened, read, written and described; every failure is an error of msroi."""
