"""Pyramids of plain arrays (N, C, H, W) or (C, H, W): NPZ, safetensors, folders of `.npy`, JSON."""
