"""Formats of data: a source for each, and what reads it."""
