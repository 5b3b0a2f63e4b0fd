"""Study designs: each simulates the women of a study and computes what it published."""
