"""The command line as a process: signals, streams, shells, terminals."""
