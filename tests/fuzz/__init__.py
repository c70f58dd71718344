"""Fuzzing: damaged files against what h5py reads in them, texts against parsers, native code under sanitizers."""
