"""Stacks: compose constructs, nothing else."""
