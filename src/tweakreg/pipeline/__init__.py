"""A run, piece by piece, without stpipe."""
