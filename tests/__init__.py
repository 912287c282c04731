"""Every test. `make test` runs all; `make check` those that need neither root nor a server."""
