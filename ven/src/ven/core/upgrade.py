"""What has become of an upgrade, as a process finds it that has just started; pure.

Theory: the process that begins an upgrade is not the one that ends it, and any of them may be
killed. So nothing is remembered but what is on disk: which upgrade is under way, which release is
in force, which is on trial. Going over to a release is ``trial`` first, then ``current``::

    no upgrade under way ----------------------------------------> nothing
    its release is in force, on trial ---------------------------> on_trial
    its release is in force, no longer on trial -----------------> done
    another is in force, though its release had been started ----> failed
    another is in force, and its release was never started ------> interrupted: begin again
"""

from typing import Literal

from msgspec import Struct

ATTEMPTS = 3
"""An upgrade that was interrupted so often is given up: it may be what kills the process."""

Standing = Literal["nothing", "on_trial", "done", "failed", "interrupted"]


class UnderWay(Struct, frozen=True, kw_only=True):
    """An upgrade that was begun; kept on disk until its end was reported."""

    action_id: str
    release: str
    name: str = ""
    """Under which it is installed; empty before that."""
    attempts: int = 1


def standing(
    under_way: UnderWay | None,
    in_force: str,
    on_trial: str,
    starts_left: int,
    starts_on_trial: int,
) -> Standing:
    """How the upgrade stands; the names are those of the installation, "" where there is none."""
    if under_way is None:
        return "nothing"
    tried = bool(under_way.name) and on_trial == under_way.name
    if under_way.name and in_force == under_way.name:
        return "on_trial" if tried else "done"
    return "failed" if tried and starts_left < starts_on_trial else "interrupted"


def numbers(version: str) -> tuple[int, ...]:
    """``25.2.0-17`` as (25, 2, 0, 17), so that versions can be compared; () for no version."""
    words = version.replace("-", ".").split(".")
    return tuple(int(word) for word in words) if all(w.isdecimal() for w in words) else ()
