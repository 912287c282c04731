"""The size of the kernel's connection table, read and set through /proc and /sys.

Only the first network namespace may set it; in another the files are missing or read-only, and
nothing is done. It stays as it is when the VEN goes: who made it smaller could lose connections.
"""

from pathlib import Path

from ven.core.conntrack_room import wanted_room

ENTRIES_A_BUCKET = 4
"""As the kernel sizes its hash table by itself."""


def make_conntrack_room(root: Path = Path("/")) -> str:
    """Enlarge the table if it is small or nearly full; what was done, or "" when nothing was."""
    netfilter = root / "proc/sys/net/netfilter"
    buckets = root / "sys/module/nf_conntrack/parameters/hashsize"
    try:
        entries = int((netfilter / "nf_conntrack_count").read_text())
        room = int((netfilter / "nf_conntrack_max").read_text())
        wanted = wanted_room(entries, room)
        if wanted == room:
            return ""
        (netfilter / "nf_conntrack_max").write_text(str(wanted))
        if int(buckets.read_text()) < wanted // ENTRIES_A_BUCKET:
            buckets.write_text(str(wanted // ENTRIES_A_BUCKET))
    except (OSError, ValueError):
        return ""  # no conntrack yet, or not ours to set
    return f"room for {wanted} connections instead of {room}, with {entries} in the table"
