"""Corrections that travel: to another filter, to a reprocessed exposure, and back out again.

`record` says what a correction is, joins two and describes one; `file` writes and reads it; `change` applies it to
an exposure and takes it back.
"""
