"""The keytab by which an org's Kerberos tickets are believed. It is set, and never shown."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from pce.errors import Invalid, Problem
from pce.events.journal import ResourceChange
from pce.identifiers import OrgId, org_href
from pce.store.change import Change, Put
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores
from pce.usecases.write_object import until_settled

PATH = "settings/kerberos"
MAX_KEYTAB_BYTES = 65_536
"""One of ten principals with four keys each has 4 kB."""
_MAGIC = b"\x05\x02"


def keytab_key(org_id: OrgId) -> str:
    """Where the keytab lies in the bucket: a place that one function may read."""
    return f"keytabs/{org_id}.keytab"


def read_kerberos(caller: Caller, stores: Stores) -> dict[str, Any]:
    """Whether there is one, and since when. One read."""
    stored = stores.objects.get(caller.org_id, "settings", "kerberos")
    return {
        "href": f"{org_href(caller.org_id)}/{PATH}",
        "keytab_set_at": stored.document["keytab_set_at"] if stored else None,
    }


def set_keytab(caller: Caller, body: Any, stores: Stores) -> None:
    """Keep ``{"keytab": BASE64}`` of an MIT keytab file in place of the one before; null takes it
    away. Raises :class:`Invalid`."""
    keytab = _keytab(body)
    if keytab is None:
        stores.archive.delete(keytab_key(caller.org_id))
    else:
        stores.archive.put(keytab_key(caller.org_id), keytab)
    until_settled(lambda: _record(caller, caller.at if keytab else None, stores))


def _record(caller: Caller, at: str | None, stores: Stores) -> None:
    stored = stores.objects.get(caller.org_id, "settings", "kerberos")
    before = stored.document["keytab_set_at"] if stored else None
    href = {"href": f"{org_href(caller.org_id)}/{PATH}"}
    changes = {"keytab_set_at": {"before": before, "after": at}}
    event = caller.journal(stores, 204).event(
        "authentication_settings.update",
        changes=[ResourceChange("authentication_settings", href, "update", changes)],
    )
    put = Put("settings", "kerberos", {"keytab_set_at": at}, stored.rev if stored else None)
    stores.objects.commit(Change(caller.org_id, puts=(put,), events=(event,)))


def _keytab(body: Any) -> bytes | None:
    if not isinstance(body, Mapping) or "keytab" not in body:
        message = "keytab is required: base64 of a keytab file, or null"
        raise Invalid(Problem("required_attribute_missing", message, "keytab"))
    text = body["keytab"]
    if text is None:
        return None
    try:
        keytab = base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        message = f"keytab: this is not base64: {error}"
        raise Invalid(Problem("invalid_attribute", message, "keytab")) from error
    if not keytab.startswith(_MAGIC) or len(keytab) > MAX_KEYTAB_BYTES:
        message = f"keytab: this is no keytab file of at most {MAX_KEYTAB_BYTES} bytes"
        raise Invalid(Problem("invalid_attribute", message, "keytab"))
    return keytab
