"""One construct per capability; the stacks put them together."""
