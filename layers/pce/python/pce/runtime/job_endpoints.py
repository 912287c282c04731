"""What the endpoints of asynchronous answers do: jobs, and the files that they stand for."""

from pce.runtime.api_call import Call, gzipped, ok, whole
from pce.runtime.http import Reply, json_reply
from pce.usecases import export_collection


def list_jobs(call: Call) -> Reply:
    """GET jobs."""
    return whole(call, export_collection.list_jobs(call.caller, call.stores))


def get_job(call: Call) -> Reply:
    """GET jobs/{id}."""
    return ok(export_collection.get_job(call.caller, call.id, call.stores))


def get_datafile(call: Call) -> Reply:
    """GET datafiles/{id}: the array that the job stands for; of a large one, the way there."""
    file = export_collection.read_datafile(call.caller, call.id, call.stores)
    if file.url:
        return json_reply(302, None, {"location": file.url})
    return gzipped(file.body, call, "application/json")
