"""`inspect`: what is in a file, as plain JSON values."""
