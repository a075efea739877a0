"""Runs: the folder of a training, written in one step, checked where it is read."""
