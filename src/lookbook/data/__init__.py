"""Datasets: where images and labels come from, and how they are split."""
