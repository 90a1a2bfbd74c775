"""Teachers under SGR, their snapshots, and the clean targets of TIAT."""
