"""What all ways out of the PCE have in common: they either took everything, or they say why not."""


class Undelivered(Exception):
    """A destination did not take what was sent; some of it may have arrived. The message says
    where, what happened, and what to do where that is known."""
