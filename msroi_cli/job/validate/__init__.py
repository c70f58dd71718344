"""`validate`: everything that is wrong or implausible, found at once."""
