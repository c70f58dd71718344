"""From pictures to feature pyramids: preprocessing and models."""
