"""The embedded host: runs the same handlers as AWS on one machine."""
