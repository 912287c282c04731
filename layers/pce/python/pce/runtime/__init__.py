"""Settings, HTTP mapping, clock and the one place that wires real things together."""
