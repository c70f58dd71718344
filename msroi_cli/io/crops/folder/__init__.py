"""The files of a folder of parts: opened quickly, and read with few of them open at a time."""
