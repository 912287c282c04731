"""Write the file of one asynchronous read, piece by piece: in memory is never more than a batch of
objects and one part of the upload."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from pce.access.roles import Grant
from pce.errors import Conflict, PceError
from pce.identifiers import OrgId
from pce.store.change import Change, Put
from pce.store.objects import Stored
from pce.timestamps import rfc3339
from pce.usecases.caller import SYSTEM_USER, Caller
from pce.usecases.export_collection import JOBS, done, file_key
from pce.usecases.stores import Stores
from pce.usecases.stream_hosts import stream_hosts

GZIP_WINDOW = 31
"""zlib's parameter for gzip with the largest window."""
LEVEL = 3
"""Five times as fast as the default, and a tenth larger."""


def run_export(org_id: OrgId, job_id: str, stores: Stores, clock: Callable[[], float]) -> None:
    """Bring a job to its end. Safe to repeat: a job that is done or gone is left alone.

    A job that cannot be done becomes ``failed``, so that clients stop polling; what is unexpected
    is raised after that, and a repeat may still do it.
    """
    stored = stores.objects.get(org_id, JOBS, job_id)
    if stored is None or stored.document["status"] == "done":
        return
    job = stored.document
    work = job["work"]
    grants = tuple(Grant(role, tuple(scope)) for role, scope in work.get("grants", ()))
    caller = Caller(org_id, SYSTEM_USER, "system", clock(), grants)  # shown as to who asked
    try:
        objects = stream_hosts(caller, work["collection"], work["query"], stores)
        size = stores.archive.put_parts(
            file_key(org_id, job_id), gzipped_array(objects), "application/json", "gzip"
        )
    except PceError as error:
        _finish(org_id, stored, _failed(job, str(error), clock), stores)
    except Exception as error:
        _finish(org_id, stored, _failed(job, f"our fault: {type(error).__name__}", clock), stores)
        raise
    else:
        finished = done({**job, "file_bytes": size}, rfc3339(clock()))
        _finish(org_id, stored, finished, stores)


def gzipped_array(objects: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """The gzip bytes of a JSON array, in pieces. Raises what ``objects`` raises."""
    packer = zlib.compressobj(LEVEL, wbits=GZIP_WINDOW)
    encode = msgspec.json.Encoder().encode
    before = b"["
    for document in objects:
        if piece := packer.compress(before + encode(document)):
            yield piece
        before = b","
    yield packer.compress(b"[]" if before == b"[" else b"]") + packer.flush()


def _failed(job: Mapping[str, Any], why: str, clock: Callable[[], float]) -> dict[str, Any]:
    return {
        **job,
        "status": "failed",
        "result": {"message": why},
        "terminated_at": rfc3339(clock()),
    }


def _finish(org_id: OrgId, stored: Stored, job: Mapping[str, Any], stores: Stores) -> None:
    put = Put(JOBS, stored.id, job, stored.rev, ttl=job["kept_until"])
    try:
        stores.objects.commit(Change(org_id, puts=(put,)))
    except Conflict:
        return  # another worker was faster
