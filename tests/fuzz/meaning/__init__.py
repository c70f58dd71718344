"""Jobs whose input contradicts itself or can be read in two ways: none may give crops without a word."""
