"""The networks, what stands around them, and how one becomes a model file. Uses PyTorch."""
