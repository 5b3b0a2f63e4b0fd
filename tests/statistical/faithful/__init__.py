"""Is the posterior what it says it is? Ranks, coverage, sharpness, two methods, flags (docs/model/faithfulness.md)."""
