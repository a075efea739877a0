"""The networks as PyTorch modules, and their export to ONNX."""
