"""The folder of a training: what it holds, written in one step, checked where it is read."""
