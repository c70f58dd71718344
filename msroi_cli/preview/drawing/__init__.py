"""What is drawn with Pillow: boxes, crops and levels as pictures."""
