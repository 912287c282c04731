"""Asynchronous reads of collections: a job whose result is a file.

Most lists are made while the job is requested, since that takes no longer than answering would; the
job is done before the client first asks. The workloads and VENs of a large org are written by a
worker (``run_export.py``), while the client polls.
"""

import gzip
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from pce.errors import NotFound, Problem
from pce.store.change import Change, Put
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores
from pce.usecases.stream_hosts import check_query

JOBS = "jobs"
KEPT_S = 86_400
"""Seconds that a job and its file are kept: clients fetch within minutes."""
MADE_AT_ONCE = 5_000
"""Workloads of an org up to which their list is made at once: it takes a second."""
MAX_FILE_IN_ANSWER = 4_000_000
"""Bytes of a file that is answered itself: Lambda returns 6 MB, a third of it base64. Larger files
are fetched from the bucket, to which the answer leads."""

_PRIVATE = ("kept_until", "work", "file_bytes")


@dataclass(frozen=True, slots=True)
class Datafile:
    """A job's result: gzip bytes, or where they lie."""

    body: bytes = b""
    url: str = ""


def export_collection(
    caller: Caller, description: str, documents: Sequence[Any], stores: Stores
) -> str:
    """The href of a finished job whose file holds these documents as a JSON array."""
    id = str(uuid.uuid4())
    body = gzip.compress(msgspec.json.encode(documents), compresslevel=3)
    stores.archive.put(file_key(caller.org_id, id), body, "application/gzip")
    job = {**_new_job(caller, id, description), "file_bytes": len(body)}
    return _put(caller, done(job, caller.at), stores)


def export_hosts(
    caller: Caller, description: str, collection: str, query: Mapping[str, str], stores: Stores
) -> str | None:
    """The href of a job whose file a worker will write; None for an org that is small enough to
    have its list made at once. ``collection`` is ``workloads`` or ``vens``.

    Raises :class:`Invalid` for a malformed parameter. Cost: the head of the address directory.
    """
    check_query(collection, query)
    if stores.directory.count(caller.org_id) <= MADE_AT_ONCE:
        return None
    id = str(uuid.uuid4())
    grants = [[grant.role, list(grant.scope)] for grant in caller.held or caller.grants]
    work = {"collection": collection, "query": dict(query), "grants": grants}
    href = _put(caller, {**_new_job(caller, id, description), "work": work}, stores)
    stores.queues.run_export(caller.org_id, id)
    return href


def _new_job(caller: Caller, id: str, description: str) -> dict[str, Any]:
    return {
        "href": caller.path(JOBS, id),
        "job_type": ":illumio/async_requests",
        "description": description,
        "status": "pending",
        "result": {},
        "requested_at": caller.at,
        "created_at": caller.at,
        "terminated_at": None,
        "requested_by": caller.by,
        "kept_until": caller.now_s + KEPT_S,
    }


def done(job: Mapping[str, Any], at: str) -> dict[str, Any]:
    """The job whose file is there."""
    file = {"href": str(job["href"]).replace("/jobs/", "/datafiles/")}
    return {**job, "status": "done", "result": file, "terminated_at": at}


def _put(caller: Caller, job: Mapping[str, Any], stores: Stores) -> str:
    href = str(job["href"])
    put = Put(JOBS, href.rpartition("/")[2], job, ttl=job["kept_until"])
    stores.objects.commit(Change(caller.org_id, puts=(put,)))
    return href


def list_jobs(caller: Caller, stores: Stores) -> list[dict[str, Any]]:
    """The caller's jobs of the last day."""
    jobs = [stored.document for stored in stores.objects.all_of(caller.org_id, JOBS)]
    return [_shown(job) for job in jobs if _is_there(job, caller)]


def get_job(caller: Caller, id: str, stores: Stores) -> dict[str, Any]:
    """One job. Raises :class:`NotFound`, also for somebody else's: its file may hold what the
    caller may not read."""
    return _shown(_find(caller, id, stores))


def read_datafile(caller: Caller, id: str, stores: Stores) -> Datafile:
    """A job's result; a file has the id of its job. Raises :class:`NotFound`."""
    job = _find(caller, id, stores)
    key = file_key(caller.org_id, id)
    if job["status"] == "done" and job["file_bytes"] > MAX_FILE_IN_ANSWER:
        return Datafile(url=stores.archive.presigned_get(key))
    body = stores.archive.get(key)
    if body is None:
        raise NotFound(Problem("datafile_not_found", f"there is no file {id}, or it has expired"))
    return Datafile(body)


def file_key(org_id: int, job_id: str) -> str:
    """Where a job's file lies in the archive."""
    return f"datafiles/{org_id}/{job_id}.json.gz"


def _find(caller: Caller, id: str, stores: Stores) -> Mapping[str, Any]:
    stored = stores.objects.get(caller.org_id, JOBS, id)
    if stored is None or not _is_there(stored.document, caller):
        raise NotFound(Problem("job_not_found", f"there is no job {id}; jobs are kept for a day"))
    return stored.document


def _is_there(job: Mapping[str, Any], caller: Caller) -> bool:
    return bool(job["kept_until"] > caller.now_s and job["requested_by"] == caller.by)


def _shown(job: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in job.items() if name not in _PRIVATE}
