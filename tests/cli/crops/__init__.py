"""Commands that read crops."""
