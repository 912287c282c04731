"""Tells when somebody else commits to the table ``inet ven``."""

import errno

from ven.core.kernel import Drained, ForeignChange
from ven.core.table import TABLE
from ven.edge import nft_messages as nft
from ven.edge.netlink import NETLINK_NETFILTER, NetlinkSocket, messages

BUFFER_BYTES = 1 << 20
"""2,500 changes that were not read yet."""


class TableWatch:
    """Changes of our table, each a suspicion: the reader compares before it acts.

    Commits of ``own_port`` (the firewall's netlink socket) are left out; those of the ``nft``
    programs that we start look foreign, and the comparison clears them.
    """

    def __init__(self, own_port: int) -> None:
        self._own_port = own_port
        self._netlink = NetlinkSocket(
            NETLINK_NETFILTER, groups=(nft.NFNLGRP_NFTABLES,), receive_bytes=BUFFER_BYTES
        )
        self._touched = False

    def fileno(self) -> int:
        """Descriptor to wait on."""
        return self._netlink.fileno()

    def drain(self, limit: int = 2000) -> Drained[ForeignChange]:
        """One item for each foreign commit that touched our table, and one, nameless, when the
        buffer overran and it cannot be told."""
        items: list[ForeignChange] = []
        for _ in range(limit):
            try:
                datagram = self._netlink.receive()
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                items.append(ForeignChange(detail="too many changes to tell"))
                continue
            if datagram is None:
                return Drained(items)
            for message in messages(datagram):
                if message.kind >> 8 != nft.NFNL_SUBSYS_NFTABLES or message.port == self._own_port:
                    continue
                # A commit is told as its objects, then one message that says who made it.
                if message.kind != nft.NEWGEN:
                    self._touched = self._touched or nft.table_of(message.body) == TABLE
                elif self._touched:
                    self._touched = False
                    number, process, name = nft.generation(message.body)
                    detail = f"generation {number} by process {process}"
                    items.append(ForeignChange(process_name=name, detail=detail))
        return Drained(items, more=True)

    def close(self) -> None:
        """Stop listening."""
        self._netlink.close()
