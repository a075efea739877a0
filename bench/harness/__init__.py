"""What benchmarks share: peers, conditions, counted turns, files of results, pages, figures."""
