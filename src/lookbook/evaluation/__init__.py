"""How good the answers are, what is wrong with the data, and why the model answers so."""
