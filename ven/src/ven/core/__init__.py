"""State machines of the VEN: ``(state, event, now) -> (state, commands)``, without any I/O.

The same code runs in the agent on the host's clock and in the fleet simulator on a fake one.
"""
