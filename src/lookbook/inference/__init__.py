"""From a model file and images to answers, without PyTorch."""
