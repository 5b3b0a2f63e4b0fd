"""Is the posterior what it says it is? Rank tests, coverage, sharpness, two methods, flags (docs/model/faithfulness.md)."""
