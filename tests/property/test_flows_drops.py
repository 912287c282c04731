"""Traffic collector settings drop from a batch exactly what they name."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from pce.flows.directory import canonical
from pce.flows.drops import drops_of, without_dropped
from tests.property.flow_batches import END, HEARTBEAT, START, flow_summaries
from ven_protocol.flows import FlowSummary, decode_batch, encode_batch, to_summaries

targets = st.fixed_dictionaries(
    {"proto": st.sampled_from([6, 17, 1, 58])},
    optional={
        "dst_port": st.sampled_from([-1, 0, 22, 443]),
        "dst_ip": st.sampled_from(
            ["0.0.0.0/0", "10.0.0.0/30", "224.0.0.1", "255.255.255.255", "2001:db8::/32"]
        ),
    },
)
settings = st.lists(
    st.fixed_dictionaries(
        {
            "transmission": st.sampled_from(["unicast", "broadcast", "multicast"]),
            "action": st.just("drop"),
            "target": targets,
        }
    ),
    max_size=3,
)


def _is_dropped(flow: FlowSummary, setting: dict) -> bool:
    """As a person reads the setting."""
    target = setting["target"]
    to = ipaddress.ip_address(canonical(flow.dst_ip))
    wanted = target.get("dst_ip", "0.0.0.0/0")
    return (
        flow.transmission == setting["transmission"][0].upper()
        and flow.proto == target["proto"]
        and target.get("dst_port", -1) in (-1, flow.dst_port)
        and (wanted == "0.0.0.0/0" or to in ipaddress.ip_network(wanted))
    )


@given(st.lists(flow_summaries(), max_size=20), settings)
def test_what_is_named_is_dropped_and_nothing_else(flows, said):
    """The rest stays as it is, in its order, with its window and heartbeat."""
    batch = decode_batch(encode_batch(7, START, END, HEARTBEAT, flows))
    aggregate = {"transmission": "unicast", "action": "aggregate"}
    kept = without_dropped(batch, drops_of([*said, aggregate]))
    wanted = [flow for flow in flows if not any(_is_dropped(flow, one) for one in said)]
    assert to_summaries(kept) == wanted
    assert (kept.seq, kept.start, kept.end) == (batch.seq, batch.start, batch.end)
    assert (kept is batch) == (len(wanted) == len(flows))
