"""HTTP: connections, limits, routes, and the processes that serve them."""
