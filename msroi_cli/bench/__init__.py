"""The benchmark: workloads, the peers they are pooled with, and the clock."""
