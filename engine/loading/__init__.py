"""Strategies by name, and fingerprints of what decides a session: the code as it is today.

Called by the commands and by `replay` as a library.
"""
