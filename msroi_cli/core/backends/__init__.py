"""Who does the arithmetic: the native kernel or NumPy, behind one signature."""
