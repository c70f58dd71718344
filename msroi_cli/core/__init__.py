"""The pooling itself: arrays in, arrays out; no files, no logging, no globals."""
