"""Export of a model: web demo, bundle, int8."""
