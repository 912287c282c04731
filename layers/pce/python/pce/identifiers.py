"""Identifiers and hrefs. Pure: randomness and time are arguments.

An href is a resource's path without ``/api/v2`` and the only identifier that API clients use. A
VEN and its workload share one UUID.
"""

import re
import uuid
from typing import NewType

OrgId = NewType("OrgId", int)

INSTALLATION = OrgId(0)
"""Holds what belongs to no org: the list of orgs, API keys, activation codes. Orgs begin at 1."""

_HREF = re.compile(r"/orgs/(\d{1,9})/(.+)")


def uuid7(epoch_ms: int, randomness: bytes) -> uuid.UUID:
    """A time-ordered UUID (RFC 9562, version 7) from milliseconds and 10 random bytes.

    Its text sorts by time, so it serves as sort key, and its time can be read back with
    :func:`uuid7_epoch_ms`.
    """
    value = (epoch_ms & (2**48 - 1)) << 80 | int.from_bytes(randomness[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def uuid7_epoch_ms(value: uuid.UUID) -> int:
    """Milliseconds since 1970 in a version 7 UUID."""
    return value.int >> 80


def org_href(org_id: OrgId) -> str:
    """``/orgs/1``."""
    return f"/orgs/{org_id}"


def workload_href(org_id: OrgId, id: uuid.UUID | str) -> str:
    """``/orgs/1/workloads/<uuid>``, or ``/orgs/1/container_workloads/<uuid>``: the id tells."""
    collection = "container_workloads" if is_container_id(id) else "workloads"
    return f"/orgs/{org_id}/{collection}/{id}"


def is_container_id(id: uuid.UUID | str) -> bool:
    """Whether a workload is a container: such ids are UUIDs of version 8 and no others are (see
    ``ven_protocol.paths.container_workload_id``)."""
    return str(id)[14:15] == "8"


def ven_href(org_id: OrgId, ven_id: uuid.UUID | str) -> str:
    """``/orgs/1/vens/<uuid>``."""
    return f"/orgs/{org_id}/vens/{ven_id}"


def tail(href: str) -> str:
    """The last segment: the object's own id."""
    return href.rsplit("/", 1)[-1]
