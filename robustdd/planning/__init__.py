"""What a study will cost, before anything runs: counts, bytes from shapes, hours from what was measured."""
