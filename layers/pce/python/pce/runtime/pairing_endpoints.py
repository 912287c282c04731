"""What the endpoints of a pairing profile's keys do."""

from pce.runtime.api_call import Call, created, no_content
from pce.runtime.http import Reply
from pce.usecases.generate_pairing_key import generate_pairing_key, revoke_pairing_keys


def create_pairing_key(call: Call) -> Reply:
    """POST pairing_profiles/{id}/pairing_key."""
    code = generate_pairing_key(call.caller, call.id, call.stores)
    return created({"activation_code": code})


def delete_pairing_keys(call: Call) -> Reply:
    """DELETE pairing_profiles/{id}/pairing_keys."""
    revoke_pairing_keys(call.caller, call.id, call.stores)
    return no_content()
