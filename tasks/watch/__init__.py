"""What can be seen of a task while it runs. Never part of a result."""
