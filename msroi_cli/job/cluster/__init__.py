"""One job as several: its images are dealt out to shards, and each shard writes a part of the crops."""
