"""The report, one HTML page, and the figures."""
