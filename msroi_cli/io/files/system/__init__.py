"""What some file systems lack."""
