"""C++ for convolutions, and the processors that it fits. Optional: nothing needs it to run."""
