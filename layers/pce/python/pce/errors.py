"""The errors of the product, as a small tree.

::

    PceError
    |-- Unauthenticated   401  who are you?
    |-- NotAllowed        403  you may not, or it is not yours
    |-- NotFound          404  there is no such thing (for you)
    |-- Invalid           406  what you sent cannot be accepted; nothing changed
    |-- Conflict          409  it changed meanwhile; read again and repeat
    |-- TooLarge          413  over a stated limit
    |-- TooManyRequests   429  slow down
    `-- Unavailable       503  our side; repeat later

Every error carries at least one :class:`Problem`: a stable token for programs, a sentence for
people that says what was wrong, where, and what to do, and the field when there is one. The table
from class to HTTP status is in ``runtime/http.py``; nothing else knows status codes.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. Serialised as ``{"token", "message"[, "field"]}``."""

    token: str
    message: str
    field: str | None = None


class PceError(Exception):
    """Base of all errors that a caller may see; everything else is a bug."""

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("; ".join(f"{p.token}: {p.message}" for p in self.problems))


class Unauthenticated(PceError):
    """The credentials are missing, wrong, expired or used up. ``org_id``: whose they would be, as
    far as that is known; it is for the org's log, never for the caller."""

    def __init__(self, problems: Problem | Iterable[Problem], org_id: int = 0) -> None:
        super().__init__(problems)
        self.org_id = org_id


class NotAllowed(PceError):
    """The credentials are good, but not for this: another org, another VEN, a missing right."""


class NotFound(PceError):
    """No such object, or none that the caller may know of."""


class Invalid(PceError):
    """The request cannot be accepted as it is. Nothing was changed."""


class Conflict(PceError):
    """Something changed between reading and writing. Nothing was changed; repeat."""


class TooLarge(PceError):
    """A body or object over a stated limit."""


class TooManyRequests(PceError):
    """A rate limit. ``retry_after_s``: seconds after which the same request may succeed."""

    def __init__(
        self, problems: Problem | Iterable[Problem], retry_after_s: int | None = None
    ) -> None:
        super().__init__(problems)
        self.retry_after_s = retry_after_s


class Unavailable(PceError):
    """Our side cannot serve this now; the same request may succeed later."""
