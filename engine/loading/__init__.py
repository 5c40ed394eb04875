"""Loads strategies and venues by name; fingerprints of the installed code.

Called by the commands and by `replay` as a library.
"""
