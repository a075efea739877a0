"""HTTP server for models, the extra `serve`: Open Inference Protocol, photographs, metrics."""
