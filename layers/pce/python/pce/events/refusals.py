"""Which of many refused requests become events. Pure.

Whoever sends rubbish must not be able to fill an org's log, nor to hide in it for long. So the
first few of a minute are written down one by one, and of more only that there were so many.
"""

EACH_UP_TO = 20
"""Refusals of one kind in one org and minute that are events of their own. At 1,500 bytes each an
attacker who never pauses makes 43 MB a day, of which DynamoDB keeps a month for 0.30 USD."""


def is_recorded(before: int, after: int) -> bool:
    """Whether a refusal becomes an event, when the minute's count goes from ``before`` to ``after``
    with it: each of the first ones, then the 100th, the 1,000th and so on."""
    if after <= EACH_UP_TO:
        return True
    mark = int(10 ** len(str(before)))
    return mark > EACH_UP_TO and before < mark <= after
