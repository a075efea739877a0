"""Evaluation, dataset audit, and analysis of a model's answers."""
