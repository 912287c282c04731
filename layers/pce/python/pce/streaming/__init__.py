"""Flow summaries and audit events on their way out: what is sent where, in which form. Pure."""
