"""Corrections as files that travel."""
