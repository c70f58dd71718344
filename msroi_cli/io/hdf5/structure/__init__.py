"""HDF5's own structures, read from the bytes of a file where the library would not tell, or would not survive them."""
