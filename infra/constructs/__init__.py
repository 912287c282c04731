"""One capability per construct."""
