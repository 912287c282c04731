"""Keep an org below its numbers of objects; say so in time."""

from collections import Counter
from collections.abc import Iterable

from pce.events.journal import Notification
from pce.objects.collection import Collection
from pce.objects.limits import hard_limit, limit_exceeded, soft_limit
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores


def admit_objects(
    caller: Caller, new: Iterable[Collection], stores: Stores
) -> tuple[Notification, ...]:
    """Admit one object more of each collection that is named (as often as it is named); returns
    what the event of their creation should tell people.

    Raises :class:`Invalid` when there would be more than the hard limit. Cost: as
    ``ObjectCounts.of``.
    """
    told = []
    for (name, stored_in), more in Counter((one.name, one.stored_in) for one in new).items():
        soft, hard = soft_limit(name), hard_limit(name)
        number = stores.object_counts.of(caller.org_id, stored_in, soft, caller.now) + more
        if number > hard:
            raise limit_exceeded(name)
        stores.object_counts.added(caller.org_id, stored_in, more)
        if number > soft:
            info = {"object_type": name, "count": number, "soft_limit": soft, "hard_limit": hard}
            told.append(Notification("soft_limit.exceeded", info))
    return tuple(told)
