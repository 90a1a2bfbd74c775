"""One stage a file: its units of work, and the bodies of their tasks."""
