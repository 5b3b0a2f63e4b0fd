"""Many twins: virtual patients, population priors, validation."""
