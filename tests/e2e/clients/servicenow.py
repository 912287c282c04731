"""`illumio-shield/illumio-servicenow` on a MID server (JavaScript, commons-httpclient 3).

Its own headers come first and ``Host`` almost last; ``Content-Type`` has a charset and there is
none without a body; nothing is said of what it accepts. From its source: `IllumioHTTPClient`.
"""

import uuid

from tests.e2e.clients.wire import Wire

_AUTHENTICATED = "Authorization: {authorization}\nUser-Agent: Jakarta Commons-HttpClient/3.1"
_BODY = (
    "Content-Type: application/json; charset=utf-8\n"
    f"{_AUTHENTICATED}\nHost: {{host}}\nContent-Length: {{length}}"
)
HEADERS = {
    "GET": f"{{more}}\n{_AUTHENTICATED}\nHost: {{host}}",
    "POST with a body": _BODY,
    "PUT with a body": _BODY,
}


def tests_the_connection(wire: Wire) -> None:
    """The version, label types and active label groups: 2xx with JSON."""
    for target in (
        "/api/v2/product_version",
        f"{wire.api}/label_dimensions",
        f"{wire.api}/sec_policy/active/label_groups",
    ):
        answer = wire.send("GET", target)
        assert answer.status == 200 and answer.json is not None
    for dimension in wire.send("GET", f"{wire.api}/label_dimensions").json:
        assert isinstance(dimension["key"], str) and isinstance(dimension["display_name"], str)


def reads_labels_and_workloads_as_jobs(wire: Wire) -> None:
    """An array of objects; of each workload `agent` is an object and `interfaces` a list. A job
    that is done names its result."""
    labels = wire.as_job(f"{wire.api}/labels")
    assert all({"href", "key", "value"} <= label.keys() for label in labels)
    for workload in wire.as_job(f"{wire.api}/workloads"):
        assert workload["href"] and isinstance(workload["agent"], dict)
        for interface in workload["interfaces"]:
            assert {"name", "address"} <= interface.keys()


def makes_a_label_that_may_be_there(wire: Wire) -> None:
    """Posted with a slash at the end: 201, or 406 and then the label is searched for."""
    value = f"Snow Röle {uuid.uuid4().hex}"
    body = f'{{"key":"role","value":"{value}"}}'
    made = wire.send("POST", f"{wire.api}/labels/", body)
    assert made.status == 201
    assert wire.send("POST", f"{wire.api}/labels/", body).status == 406
    encoded = value.replace("ö", "%C3%B6").replace(" ", "%20")
    found = wire.send("GET", f"{wire.api}/labels?key=role&value={encoded}").json
    assert [label["href"] for label in found] == [made.json["href"]]
    alone = wire.send("GET", f"/api/v2{made.json['href']}").json
    assert (alone["key"], alone["value"]) == ("role", value)


def synchronizes_workloads(wire: Wire) -> None:
    """Bulk calls, compared by position with the words ``created`` and ``updated``."""
    created = wire.send(
        "PUT",
        f"{wire.api}/workloads/bulk_create",
        '[{"hostname":"snow-1.example.com","name":"snow-1","interfaces":[{"name":"umw0",'
        '"address":"10.98.0.1"}],"labels":[]},{"hostname":"snow-2.example.com","name":"snow-2",'
        '"interfaces":[{"name":"umw0","address":"not an address"}],"labels":[]}]',
    )
    assert created.status == 200
    assert [one["status"] == "created" for one in created.json] == [True, False]
    href = created.json[0]["href"]
    body = f'[{{"href":"{href}","labels":[],"hostname":"snow-1b.example.com"}}]'
    updated = wire.send("PUT", f"{wire.api}/workloads/bulk_update", body)
    assert updated.status == 200 and updated.json[0]["status"] == "updated"
    deleted = wire.send("PUT", f"{wire.api}/workloads/bulk_delete", f'[{{"href":"{href}"}}]')
    assert deleted.status == 200 and isinstance(deleted.json, list)


CONVERSATIONS = (
    tests_the_connection,
    reads_labels_and_workloads_as_jobs,
    makes_a_label_that_may_be_there,
    synchronizes_workloads,
)
