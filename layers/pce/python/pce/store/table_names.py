"""Names of the tables, apart from the models so that hot functions need not import pynamodb."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TableNames:
    """Names of the tables, as deployed; a function names only those that it may use."""

    presence: str = ""
    objects: str = ""
    events: str = ""
    flows: str = ""
    policy: str = ""
