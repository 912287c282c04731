"""What the endpoints of label mapping rules do."""

from pce.identifiers import tail
from pce.objects.label_mapping_rule import LABEL_MAPPING_RULES
from pce.runtime.api_call import Call, created, gzipped, no_content, ok, whole
from pce.runtime.http import Reply, json_reply
from pce.usecases import map_labels, order_mapping_rules
from pce.usecases.create_object import create_object


def list_rules(call: Call) -> Reply:
    """GET label_mapping_rules: in their order."""
    return whole(call, order_mapping_rules.list_rules(call.caller, call.stores))


def create_rule(call: Call) -> Reply:
    """POST label_mapping_rules: the new rule is the last."""
    made = create_object(call.caller, LABEL_MAPPING_RULES, call.body, call.stores)
    return created(order_mapping_rules.get_rule(call.caller, tail(made["href"]), call.stores))


def get_rule(call: Call) -> Reply:
    """GET label_mapping_rules/{id}."""
    return ok(order_mapping_rules.get_rule(call.caller, call.id, call.stores))


def reorder(call: Call) -> Reply:
    """PUT label_mapping_rules/{id}/reorder."""
    order_mapping_rules.move_rule(call.caller, call.id, call.body, call.stores)
    return no_content()


def run(call: Call) -> Reply:
    """POST label_mapping_rules/run: 202 with the run, which waits for its worker."""
    started = map_labels.start_run(call.caller, call.body, call.stores)
    return json_reply(202, started, {"location": started["href"], "retry-after": "1"})


def get_run(call: Call) -> Reply:
    """GET label_mapping_rules/run/{id}."""
    return ok(map_labels.get_run(call.caller, call.id, call.stores))


def download(call: Call) -> Reply:
    """GET label_mapping_rules/run/{id}/download: JSON; of a large result, the way there."""
    file = map_labels.read_result(call.caller, call.id, call.stores)
    if file.url:
        return json_reply(302, None, {"location": file.url})
    return gzipped(file.body, call, "application/json")


def assign(call: Call) -> Reply:
    """PUT label_mapping_rules/run/{id}/assign_labels."""
    return ok(map_labels.assign_labels(call.caller, call.id, call.body, call.stores))
