"""PUT .../interfaces, services, users, compatibility; PUT and GET .../container_workloads; POST
.../tampering, support_reports."""

from pce.errors import NotFound, Problem
from pce.runtime.clock import now_s
from pce.runtime.http import Reply, Request, agent_of, http_function, json_body, json_reply
from pce.runtime.wiring import wiring
from pce.usecases.record_reports import (
    accept_support_report,
    record_compatibility,
    record_interfaces,
    record_services,
    record_tampering,
    record_users,
)
from pce.usecases.report_containers import container_policies, record_container_workloads
from ven_protocol.messages import (
    CompatibilityReport,
    ContainerWorkloadsReport,
    InterfacesReport,
    ServicesReport,
    SupportReportRequest,
    Tampering,
    UsersReport,
)


@http_function
def handler(request: Request) -> Reply:
    """204 when the report is stored; 201 with an upload URL for a support report; 200 with which
    policies containers should hold."""
    token, now, ip = agent_of(request), now_s(), request.source_ip
    match request.path.rsplit("/", 1)[-1]:
        case "interfaces":
            record_interfaces(token, json_body(request, InterfacesReport), wiring(), now, ip)
        case "services":
            record_services(token, json_body(request, ServicesReport), wiring(), now, ip)
        case "users":
            record_users(token, json_body(request, UsersReport), wiring(), now, ip)
        case "compatibility":
            record_compatibility(token, json_body(request, CompatibilityReport), wiring(), now, ip)
        case "container_workloads" if request.method == "GET":
            return json_reply(200, container_policies(token, wiring(), now))
        case "container_workloads":
            report = json_body(request, ContainerWorkloadsReport)
            record_container_workloads(token, report, wiring(), now, ip)
        case "tampering":
            record_tampering(token, json_body(request, Tampering), wiring(), now)
        case "support_reports":
            wanted = json_body(request, SupportReportRequest)
            return json_reply(201, accept_support_report(token, wanted, wiring(), now, ip))
        case _:
            raise NotFound(Problem("not_found", f"there is no report at {request.path}"))
    return json_reply(204)
