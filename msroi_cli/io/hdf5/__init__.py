"""HDF5 with our errors: reading, writing, describing."""
