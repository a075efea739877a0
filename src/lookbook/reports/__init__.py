"""The page and the figures that show all of it."""
