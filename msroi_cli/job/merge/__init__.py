"""`merge`: the parts of a folder as one crops file."""
