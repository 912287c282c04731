"""Flow batches: validation, columnar form, queries. Pure."""
