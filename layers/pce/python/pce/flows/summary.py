"""Flow summaries as they are streamed out of the PCE: JSON of schema version 4.

One document a summary, under the vendor's field names, so that what reads the vendor's stream
reads ours. Fields that are not known are left out.
"""

from ipaddress import ip_address
from typing import Any

from pce.flows.batch import StoredBatch, to_summaries
from pce.flows.directory import Workload
from pce.identifiers import OrgId, workload_href
from pce.timestamps import rfc3339

SCHEMA_VERSION = 4


def summary_json(
    stored: StoredBatch, org_id: OrgId, pce_fqdn: str, network: str
) -> list[dict[str, Any]]:
    """The documents of a batch, in stored order; ``pd`` says under which prefix each belongs.
    ``network`` is the name of the network that the hosts are in.

    Flows of idle hosts are among them (``state`` S): which sinks want those is not known here.
    Cost: about 10 microseconds a summary.
    """
    texts = {address: str(ip_address(address)) for address in stored.addresses}
    known = dict(zip(stored.addresses, stored.workloads, strict=True))
    documents = []
    for flow in to_summaries(stored):
        # Blocked traffic has no process: nothing accepted or sent it.
        pn, un, sn = (flow.process, flow.user, flow.service) if flow.pd != 2 else (None,) * 3
        document = {
            "version": SCHEMA_VERSION,
            "timestamp": rfc3339(flow.first),
            "interval_sec": stored.end - stored.start,
            "count": flow.count,
            "dir": flow.dir,
            "src_ip": texts[flow.src_ip],
            "dst_ip": texts[flow.dst_ip],
            "proto": flow.proto,
            "dst_port": flow.dst_port,
            "type": flow.icmp_type,
            "code": flow.icmp_code,
            "state": flow.state,
            "pd": flow.pd,
            "pd_qualifier": flow.pd_qualifier,
            "class": flow.transmission,
            "network": network,
            "fqdn": flow.fqdn,
            "pn": pn,
            "un": un,
            "sn": sn,
            **_identity("src", known[flow.src_ip], org_id),
            **_identity("dst", known[flow.dst_ip], org_id),
            "dst_tbi": flow.tbi,
            "dst_tbo": flow.tbo,
            "dst_dbi": flow.dbi,
            "dst_dbo": flow.dbo,
            "ddms": flow.ddms,
            "tdms": flow.tdms,
            "pce_fqdn": pce_fqdn,
            "org_id": org_id,
        }
        documents.append({name: value for name, value in document.items() if value is not None})
    return documents


def _identity(side: str, workload: Workload | None, org_id: OrgId) -> dict[str, Any]:
    if workload is None:
        return {}
    return {
        f"{side}_hostname": workload.hostname,
        f"{side}_href": workload_href(org_id, workload.id),
        f"{side}_labels": {label.key: label.value for label in workload.labels},
    }
