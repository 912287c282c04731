"""Sizes and times that both sides must agree on, each with its unit and its reason."""

PROTOCOL_VERSION = 1
"""The protocol's major version; it is the first path segment after ``/ven`` (``/ven/v1/...``)."""

SUPPORTED_VERSIONS = (1,)
"""Versions that this PCE answers; any other is refused with this list."""

MAX_JSON_BODY_BYTES = 1_000_000
"""Largest JSON body as sent: a host with 10,000 open ports reports about 900 kB, and a tenth of
that compressed."""

MAX_FLOW_BODY_BYTES = 4_000_000
"""Largest flow post as sent. A Lambda event may hold 6 MB and base64 adds a third (AWS Lambda
quotas), so 4.5 MB is the ceiling; the rest is left for headers."""

MAX_INFLATED_BYTES = 8_000_000
"""Largest body after inflating: 100,000 flow summaries in columns. Checked while inflating, so a
small body that claims to be large never occupies more memory than this."""

MAX_FLOWS_PER_POST = 50_000
"""Summaries in one post: 160 times the sizing rule of 300 per ten minutes."""

MAX_SUPPORT_REPORT_BYTES = 256_000_000
"""Support report upload: logs rotate at 15 MB, and a report holds a dozen of them. A VEN looks
before it asks, the PCE refuses more, and what it signs takes exactly the size that was said."""

HEARTBEAT_INTERVAL_S = 300
"""Default seconds between heartbeats ("VEN-to-PCE Communication": every 5 minutes)."""

FLOW_INTERVAL_S = 600
"""Default seconds between flow posts ("VEN-to-PCE Communication": every 10 minutes)."""

FREQUENT_FLOWS_INTERVAL_S = 60
"""Seconds between the flow posts of a VEN that was asked for them often: what a person who waits
for traffic to appear will wait."""

FREQUENT_FLOWS_FOR_S = 600
"""Seconds for which it does so: as long as the usual interval, so that one request costs the PCE at
most ten posts more, and nobody has to remember to end it."""

CLOCK_TOLERANCE_S = 300
"""How far in the future a flow window may end, and how far a host's clock may be off before its VEN
says so. One heartbeat interval: a host without time service drifts by seconds a day, and one that
is minutes off is told so instead of filling the future."""

MISSED_HEARTBEATS_TO_DEGRADED = 3
"""Failed heartbeats in a row after which a VEN is degraded, and good ones after which it is not."""

MINIMAL_INTERVAL_S = 4 * 3600
"""Seconds between attempts in the minimal state ("VEN-to-PCE Communication": every four hours)."""

BOLT_KEEPALIVE_S = 540
"""Seconds between the VEN's messages on an idle bolt connection: API Gateway closes a WebSocket
that carried no message for 10 minutes."""

BOLT_RECONNECT_AFTER_S = (6000, 7080)
"""A VEN replaces its bolt connection at a random age between these seconds: API Gateway ends every
connection at 7,200 s, and a fleet that connected together must not return together."""

MAX_TICKET_CHARACTERS = 90_000
"""Base64 of a Kerberos ticket: Active Directory's grow with the groups of their owner, to 48,000
bytes by default and 65,535 at most."""

MAX_BOLT_BYTES = 32_768
"""One WebSocket frame on API Gateway, and what is billed as one message."""

MAX_BOLT_REPLY_BYTES = 24_000
"""Compressed policy in a bolt. Base64 makes 32,000 bytes of it, and the rest is room for the other
fields. Some 3,000 addresses, or several hundred rules."""

REPORT_WITHIN_S = 2.0
"""A policy that was applied is reported at a random moment within so many seconds, unless the bolt
that told of it says otherwise: the fetches of some come before the reports of others."""
