"""What the endpoints below label groups do."""

from typing import Any

from pce.identifiers import tail
from pce.objects.label_group import LABEL_GROUPS, members
from pce.runtime.api_call import Call, whole
from pce.runtime.http import Reply
from pce.usecases import read_objects


def _groups(call: Call) -> list[dict[str, Any]]:
    return read_objects.list_policy_objects(
        call.caller, LABEL_GROUPS, call.version, {}, call.stores, None
    ).documents


def list_groups_with(call: Call) -> Reply:
    """GET label_groups/{id}/member_of: the groups that contain this one."""
    read_objects.get_policy_object(call.caller, LABEL_GROUPS, call.version, call.id, call.stores)
    return whole(
        call,
        [
            group
            for group in _groups(call)
            if any(tail(inner["href"]) == call.id for inner in group["sub_groups"])
        ],
    )


def list_labels_of_group(call: Call) -> Reply:
    """GET label_groups/{id}/all_labels: with those of its sub-groups."""
    group = read_objects.get_policy_object(
        call.caller, LABEL_GROUPS, call.version, call.id, call.stores
    )
    return whole(call, members(group["href"], {g["href"]: g for g in _groups(call)}))
