"""A model for use elsewhere: a web demo, a bundle."""
