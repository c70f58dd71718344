"""The kernel against its definition: the oracle, torchvision, and what must hold for all inputs."""
