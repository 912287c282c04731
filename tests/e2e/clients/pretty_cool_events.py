"""`alexgoller/illumio-pretty-cool-events` (Python, httpx).

A new connection for each request; it accepts anything, and brackets in queries are escaped. Taken
down from httpx with its settings, the calls from its source.
"""

import uuid

from tests.e2e.clients.wire import Wire

_SESSION = (
    "Host: {host}\nAccept: */*\nAccept-Encoding: gzip, deflate\nConnection: keep-alive\n"
    "User-Agent: pretty-cool-events/1.0"
)
HEADERS = {
    "GET": f"{_SESSION}\nAuthorization: {{authorization}}",
    "POST with a body": f"{_SESSION}\nContent-Length: {{length}}\nContent-Type: application/json\n"
    "Authorization: {authorization}",
}


def checks_health(wire: Wire) -> None:
    """200 is all."""
    assert wire.send("GET", "/api/v2/health").status == 200


def polls_events(wire: Wire) -> None:
    """Since a time with an offset, until another; newest first."""
    between = (
        "timestamp%5Bgte%5D=2026-01-01T00%3A00%3A00%2B00%3A00"
        "&timestamp%5Blte%5D=2126-01-01T00%3A00%3A00%2B00%3A00"
    )
    events = wire.send("GET", f"{wire.api}/events?{between}&max_results=100").json
    assert events
    times = [event["timestamp"] for event in events]
    assert times == sorted(times, reverse=True)
    later = "timestamp%5Bgte%5D=2126-01-01T00%3A00%3A00%2B00%3A00"
    assert wire.send("GET", f"{wire.api}/events?{later}").json == []


def asks_for_traffic(wire: Wire) -> None:
    """It forgets a query that is answered 202 and finds it in the list by its name; results are
    text, since it accepts anything."""
    name = f"pretty cool {uuid.uuid4().hex}"
    made = wire.send(
        "POST",
        f"{wire.api}/traffic_flows/async_queries",
        f'{{"query_name":"{name}",'
        '"start_date":"2026-01-01T00:00:00+00:00","end_date":'
        '"2126-01-01T00:00:00+00:00","sources":{"include":[[]],"exclude":[]},"destinations":'
        '{"include":[[]],"exclude":[]},"services":{"include":[],"exclude":[]},"policy_decisions":'
        '["allowed","potentially_blocked","blocked"],"max_results":1000}',
    )
    assert made.status == 202
    listed = wire.send("GET", f"{wire.api}/traffic_flows/async_queries").json
    [query] = [q for q in listed if q["query_parameters"].get("query_name") == name]
    result = wire.ended(query["href"], "completed")["result"]
    assert wire.send("GET", f"/api/v2{result}").text.startswith("Source IP,")


CONVERSATIONS = (checks_health, polls_events, asks_for_traffic)
