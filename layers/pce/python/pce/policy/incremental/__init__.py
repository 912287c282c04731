"""Policy computed incrementally, for what the full recompute is too slow for. Pure."""
