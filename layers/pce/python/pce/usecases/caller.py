"""Who calls the management API: the key's owner and org, and the call as events show it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pce.access.roles import Grant
from pce.events.journal import (
    SYSTEM,
    HttpAction,
    Journal,
    JsonObject,
    service_account_actor,
    user_actor,
)
from pce.identifiers import OrgId, org_href
from pce.timestamps import rfc3339
from pce.usecases.stores import Stores, journal

SYSTEM_USER = "/users/0"
"""Owner of factory objects, and who acts where nobody asked."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One authenticated call, at one time."""

    org_id: OrgId
    user_href: str
    """Of the user, or of the service account."""
    username: str
    now: float
    """Epoch seconds. Events of one second are told apart by its fraction."""
    grants: tuple[Grant, ...]
    """Those by which this call is allowed; see ``usecases/check_scope.py``."""
    action: HttpAction | None = None
    held: tuple[Grant, ...] = ()
    """All grants that the caller has; empty where nobody asked but for :attr:`grants`."""

    @property
    def at(self) -> str:
        """The time of the call, RFC 3339."""
        return rfc3339(self.now)

    @property
    def now_s(self) -> int:
        """The time of the call in whole epoch seconds, as it is stored."""
        return int(self.now)

    @property
    def by(self) -> dict[str, str]:
        """What ``created_by`` and ``updated_by`` say."""
        return {"href": self.user_href}

    def path(self, *parts: str | int) -> str:
        """An href in the caller's org."""
        return "/".join((org_href(self.org_id), *map(str, parts)))

    def journal(self, stores: Stores, status: int) -> Journal:
        """A journal for events of this call, which answers with ``status``."""
        action = replace(self.action, status=status) if self.action else None
        return journal(stores, self.org_id, self.actor, self.now, action)

    @property
    def is_user(self) -> bool:
        """Whether a person calls, or a key of theirs."""
        return self.user_href.startswith("/users/")

    @property
    def actor(self) -> JsonObject:
        """What events say of who acts."""
        if self.user_href == SYSTEM_USER:
            return SYSTEM
        actor = user_actor if self.is_user else service_account_actor
        return actor(self.user_href, self.username)

    def created(self) -> Mapping[str, Any]:
        """Authorship of a new object."""
        return {
            "created_at": self.at,
            "created_by": self.by,
            "updated_at": self.at,
            "updated_by": self.by,
        }

    def updated(self) -> Mapping[str, Any]:
        """Authorship of a changed object."""
        return {"updated_at": self.at, "updated_by": self.by}
