"""Activation codes of a pairing profile: give out a new one, revoke all of them."""

import secrets

from pce.events.journal import ResourceChange
from pce.identifiers import INSTALLATION
from pce.objects.pairing_profile import PAIRING_PROFILES, new_pairing_key
from pce.pairing.activation import code_hash
from pce.store.change import Change, Put
from pce.usecases.caller import Caller
from pce.usecases.check_scope import ScopeCheck
from pce.usecases.stores import Stores
from pce.usecases.write_object import find, until_settled

CODE_BYTES = 40
"""Random bytes of an activation code: 320 bits, in 80 characters of hex as clients are used to."""


def generate_pairing_key(caller: Caller, profile_id: str, stores: Stores) -> str:
    """A new activation code, under the profile's present limits. Only its hash is stored.

    One of a disabled profile is refused while it is disabled, and good as soon as it is enabled:
    clients prepare profiles like that. Raises :class:`NotFound`.
    """
    profile = find(caller, PAIRING_PROFILES, profile_id, stores)
    ScopeCheck(caller, stores).require(PAIRING_PROFILES, profile.document)
    code = secrets.token_hex(CODE_BYTES)
    key = new_pairing_key(caller.org_id, profile.id, profile.document, caller.now_s)
    shown = PAIRING_PROFILES.in_event(profile.document)
    given = {"activation_code": {"before": None, "after": "***"}}  # nobody reads it twice
    changed = ResourceChange(PAIRING_PROFILES.kind, shown, "update", given)
    event = caller.journal(stores, 201).event(
        "pairing_profile.create_pairing_key", changes=[changed]
    )
    put = Put("pairing_keys", code_hash(code), key, org_id=INSTALLATION)
    stores.objects.commit(Change(caller.org_id, puts=(put,), events=(event,)))
    return code


def revoke_pairing_keys(caller: Caller, profile_id: str, stores: Stores) -> None:
    """Make every activation code of a profile unknown, in one write: codes belong to a generation
    of their profile, and this begins the next one."""

    def attempt() -> None:
        stored = find(caller, PAIRING_PROFILES, profile_id, stores)
        ScopeCheck(caller, stores).require(PAIRING_PROFILES, stored.document)
        generation = stored.document.get("key_generation", 0) + 1
        document = {**stored.document, "key_generation": generation}
        shown = PAIRING_PROFILES.in_event(document)
        changes = {"key_generation": {"before": generation - 1, "after": generation}}
        changed = ResourceChange(PAIRING_PROFILES.kind, shown, "update", changes)
        event = caller.journal(stores, 204).event(
            "pairing_profile.delete_all_pairing_keys", changes=[changed]
        )
        put = Put(PAIRING_PROFILES.name, stored.id, document, stored.rev)
        stores.objects.commit(Change(caller.org_id, puts=(put,), events=(event,)))

    until_settled(attempt)
