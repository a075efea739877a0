"""Bulk prediction: millions of images into one table, which goes on after a stop."""
