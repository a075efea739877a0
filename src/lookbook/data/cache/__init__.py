"""Cache of large image folders, and of what was found out about them."""
