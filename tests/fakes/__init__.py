"""Stand-ins for what is outside a test: clocks, stores, kernels, VENs."""
