"""Graphs of model files: what they may compute, and those of a user's own backbone."""
