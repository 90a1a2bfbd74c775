"""Wrong labels on purpose, or by the hand of people."""
