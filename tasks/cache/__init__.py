"""When a task runs and where its files lie; nothing here decides what is in them."""
