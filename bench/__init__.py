"""Budgets and the figures measured against them: `python -m bench`."""
