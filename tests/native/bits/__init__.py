"""The same bits with every instruction set."""
