"""Inference from a model file, without PyTorch."""
