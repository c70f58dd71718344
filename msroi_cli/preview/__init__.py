"""Pictures, drawn with Pillow: boxes by level, crops as heat maps, statistics as charts."""
