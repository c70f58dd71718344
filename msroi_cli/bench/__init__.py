"""The benchmark: workloads, peers and timing."""
