"""The wire between a VEN and the PCE: messages, limits, versions, paths.

Owns every byte that crosses between the two sides, and nothing else: no sockets, no clocks, no
storage. It is the only server-side package that the agent may import, so that both sides can be
written, tested and versioned apart. The published documents (``docs/ven-api/``) are generated
from it by ``ven_protocol.published``.
"""
