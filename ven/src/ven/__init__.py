"""The Linux VEN: an agent that enforces the PCE's policy on this host and reports what passes.

``ven.core`` decides and does no I/O, ``ven.edge`` does I/O and decides nothing, ``ven.agent``
joins the two in one event loop, ``ven.cli`` is the ``ven`` command.
"""
