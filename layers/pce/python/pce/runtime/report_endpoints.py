"""What the endpoints of reports and of application groups do."""

from pce.identifiers import tail
from pce.objects.report_schedule import REPORT_SCHEDULES
from pce.runtime.api_call import Call, created, gzipped, no_content, ok, whole
from pce.runtime.http import Reply
from pce.usecases import make_report, read_objects, schedule_reports, summarize_app_groups


def list_templates(call: Call) -> Reply:
    """GET report_templates."""
    return whole(call, make_report.list_templates(call.caller))


def get_template(call: Call) -> Reply:
    """GET report_templates/{id}."""
    return ok(make_report.get_template(call.caller, call.id))


def list_reports(call: Call) -> Reply:
    """GET reports."""
    return whole(call, make_report.list_reports(call.caller, call.stores))


def order_report(call: Call) -> Reply:
    """POST reports: 201 with the report, which waits for its worker."""
    return created(make_report.order_report(call.caller, call.body, call.stores))


def get_report(call: Call) -> Reply:
    """GET reports/{id}."""
    return ok(make_report.get_report(call.caller, call.id, call.stores))


def delete_report(call: Call) -> Reply:
    """DELETE reports/{id}."""
    make_report.delete_report(call.caller, call.id, call.stores)
    return no_content()


def download_report(call: Call) -> Reply:
    """GET reports/{id}/download: CSV."""
    body = make_report.read_report(call.caller, call.id, call.stores)
    return gzipped(body, call, "text/csv")


def create_schedule(call: Call) -> Reply:
    """POST report_schedules: 201 with the schedule, which says when its next report is due."""
    made = schedule_reports.create_schedule(call.caller, call.body, call.stores)
    id = tail(made["href"])
    return created(read_objects.get_object(call.caller, REPORT_SCHEDULES, id, {}, call.stores))


def update_schedule(call: Call) -> Reply:
    """PUT report_schedules/{id}."""
    schedule_reports.update_schedule(call.caller, call.id, call.body, call.stores)
    return no_content()


def get_app_group_summary(call: Call) -> Reply:
    """GET app_group_summary."""
    return ok(summarize_app_groups.summary(call.caller, call.stores))


def list_app_group_risks(call: Call) -> Reply:
    """GET app_groups/risk_summary: what scanners found, by application group."""
    return whole(call, summarize_app_groups.risk_summary(call.caller, call.stores))


def get_app_group_risk(call: Call) -> Reply:
    """GET app_groups/{id}/risk_details."""
    return ok(summarize_app_groups.risk_details(call.caller, call.id, call.stores))


def get_risk_summary(call: Call) -> Reply:
    """GET reports/risk_summary: what scanners found in the whole org."""
    return ok(summarize_app_groups.org_risk(call.caller, call.stores))
