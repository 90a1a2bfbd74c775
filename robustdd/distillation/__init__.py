"""The synthetic set and how it learns to follow trajectories."""
