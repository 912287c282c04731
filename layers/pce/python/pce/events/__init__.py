"""Audit events: their types and their form. Pure."""
