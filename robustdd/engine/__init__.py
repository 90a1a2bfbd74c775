"""The gradients of networks and their second order: eager, compiled, in bfloat16."""
