"""Pictures: boxes by level and crops as heat maps, with Pillow; charts of statistics, with matplotlib."""
