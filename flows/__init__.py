"""Order and fan-out: a stage as one Prefect flow."""
