"""One cached Prefect task a file: read artifacts, call the core, publish."""
