"""From readings to a posterior: one probabilistic model, two ways to its posterior (`laplace`, `nuts`)."""
