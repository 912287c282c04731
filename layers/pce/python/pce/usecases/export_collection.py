"""Asynchronous reads of collections: a job whose result is a file.

The list is made while the job is requested, since it takes no longer than answering it would; the
job is done before the client first asks. So nothing can be lost between request and result.
"""

import gzip
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pce.errors import NotFound, Problem
from pce.store.change import Change, Put
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores

KEPT_S = 86_400
"""Seconds that a job and its file are kept: clients fetch within minutes."""


def export_collection(
    caller: Caller, description: str, documents: Sequence[Any], stores: Stores
) -> str:
    """The href of a finished job whose file holds these documents as a JSON array."""
    job_id = str(uuid.uuid4())
    body = gzip.compress(msgspec.json.encode(documents), compresslevel=3)
    stores.archive.put(_key(caller, job_id), body, "application/gzip")
    job = {
        "href": caller.path("jobs", job_id),
        "job_type": ":illumio/async_requests",
        "description": description,
        "status": "done",
        "result": {"href": caller.path("datafiles", job_id)},
        "requested_at": caller.at,
        "created_at": caller.at,
        "terminated_at": caller.at,
        "requested_by": caller.by,
    }
    kept_until = caller.now_s + KEPT_S
    put = Put("jobs", job_id, {**job, "kept_until": kept_until}, ttl=kept_until)
    stores.objects.commit(Change(caller.org_id, puts=(put,)))
    return str(job["href"])


def list_jobs(caller: Caller, stores: Stores) -> list[dict[str, Any]]:
    """The caller's jobs of the last day."""
    jobs = [stored.document for stored in stores.objects.all_of(caller.org_id, "jobs")]
    return [_shown(job) for job in jobs if _is_there(job, caller)]


def get_job(caller: Caller, id: str, stores: Stores) -> dict[str, Any]:
    """One job. Raises :class:`NotFound`, also for somebody else's: its file may hold what the
    caller may not read."""
    stored = stores.objects.get(caller.org_id, "jobs", id)
    if stored is None or not _is_there(stored.document, caller):
        raise NotFound(Problem("job_not_found", f"there is no job {id}; jobs are kept for a day"))
    return _shown(stored.document)


def read_datafile(caller: Caller, id: str, stores: Stores) -> bytes:
    """The gzip bytes of a job's result; a file has the id of its job. Raises :class:`NotFound`."""
    get_job(caller, id, stores)
    body = stores.archive.get(_key(caller, id))
    if body is None:
        raise NotFound(Problem("datafile_not_found", f"there is no file {id}, or it has expired"))
    return body


def _is_there(job: Mapping[str, Any], caller: Caller) -> bool:
    return bool(job["kept_until"] > caller.now_s and job["requested_by"] == caller.by)


def _shown(job: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in job.items() if name != "kept_until"}


def _key(caller: Caller, job_id: str) -> str:
    return f"datafiles/{caller.org_id}/{job_id}.json.gz"
