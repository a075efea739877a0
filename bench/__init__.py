"""Benchmarks: lookbook beside its peers, with the conditions of every figure."""
