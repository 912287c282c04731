"""The full recompute: every VEN's policy from all facts, from scratch.

Clarity beats speed here: this is the meaning of policy, against which any faster engine is tested.
"""

from dataclasses import dataclass

from pce.policy.estate import Estate
from ven_protocol.policy import PolicyDocument


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """Something in the active policy that selects nothing because it cannot be understood."""

    where: str
    """Rule, object or workload."""
    what: str


@dataclass(frozen=True, slots=True)
class Recomputed:
    """The policy of every managed workload, and what was left out of it."""

    documents: dict[str, PolicyDocument]
    """Workload id to document; workloads that no rule can tell apart share one object."""
    problems: tuple[PolicyProblem, ...]


def recompute(estate: Estate) -> Recomputed:
    """Compute all documents. Never raises: what cannot be understood selects nothing."""
    raise NotImplementedError
