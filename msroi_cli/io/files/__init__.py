"""Files of any kind: names, fingerprints, whole-or-absent writing, durability."""
