"""An org that has something in every collection: what ``changing_calls`` creates, and the examples
of the document."""

import re
from typing import Any

from pce.runtime.wiring import Wiring
from tests.fakes.api import Answer, Api, new_org
from tests.fakes.changing_calls import changing_calls, made_by
from tests.fakes.pairing import pair
from tests.published.described import example, operations
from tests.published.known_objects import KnownObjects


def populated(stores: Wiring, name: str) -> tuple[Api, KnownObjects]:
    """The org, and what it has. Its objects are named after it. Some 300 requests; the PCE offers
    the releases of ``changing_calls``."""
    api, known = new_org(name), KnownObjects()
    [me] = api.get("/users")
    ven, *others = (pair(api, stores, f"{name}-{n}") for n in range(4))

    query = api.call("POST", f"{api.org}/traffic_flows/async_queries", {}).json["href"]

    def call(method: str, path: str, body: Any) -> Answer:
        if method == "DELETE" or path.endswith(("/restore", "/sec_policy/delete")):
            return Answer(204, {}, b"")  # not made: what was created stays
        new = method == "POST" and not path.endswith("/interfaces")  # which are found by name
        answer = api.call(method, path, named(body, name) if new else body)
        if answer.raw:
            known.learn(answer.json)
        return answer

    made_by(changing_calls(api.org, me["href"], others), call)
    created = [each for each in operations() if each.method == "POST" and example(each)]
    # Parents come before what lies under them: theirs is the shorter path.
    for operation in sorted(created, key=lambda each: each.path.count("/")):
        ids = {"org": api.org[6:], **known.ids(operation.path, 0)}
        answer = api.call("POST", filled(operation.path, ids), named(example(operation), name))
        if answer.status in (200, 201) and answer.raw:
            known.learn(answer.json)
    api.call("POST", f"{api.org}/sec_policy", {})
    job = api.call("GET", f"{api.org}/labels", prefer="respond-async").headers["location"]
    report = {"vens": [{"href": ven.href}]}
    known.learn(api.post(f"{api.org}/support_bundle_requests", report))
    known.learn([api.get(job), {"href": query}, api.get(ven.href), api.get(ven.workload_href)])
    for each in operations():
        if each.method == "GET" and not re.search(r"\{(?!org|version)", each.path):
            path = filled(each.path, {"org": api.org[6:], "version": "draft"})
            answer = api.call("GET", path)
            if answer.status == 200 and answer.headers["content-type"] == "application/json":
                known.learn(answer.json)
    return api, known


def filled(path: str, values: dict[str, Any], otherwise: str = "1") -> str:
    """A path of the document with values for its parameters."""
    return re.sub(r"\{(\w+)\}", lambda at: str(values.get(at[1], otherwise)), path)


def named(body: Any, name: str) -> Any:
    """An example whose object is known by this name."""
    if isinstance(body, list):
        return [named(each, name) for each in body]
    if not isinstance(body, dict):
        return body
    free = [each for each in ("name", "description", "value") if isinstance(body.get(each), str)]
    mail = {"username": f"{name}.{body['username']}"} if "username" in body else {}
    return {**body, **mail, **{each: f"{name} {body[each]}" for each in free}}
