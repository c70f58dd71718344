"""Boxes that the native extension reads piece by piece, from a text that need not be in memory as a whole.

Each reader gives up where the text is not what it knows; a slower one, which has the whole text, then reads it in its
own way, or says what is wrong.
"""
