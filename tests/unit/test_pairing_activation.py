"""What an activation code allows."""

import pytest

from pce.errors import Unauthenticated
from pce.pairing.activation import check_key, code_hash, grant
from ven_protocol.messages import Activate, HostFacts

HOST = HostFacts(hostname="h", version="1")
PROFILE = {"enabled": True, "labels": [{"href": "/orgs/1/labels/1"}, {"href": "/orgs/1/labels/2"}]}
KEYS = {"/orgs/1/labels/1": "role", "/orgs/1/labels/2": "app"}


@pytest.mark.parametrize(
    ("key", "profile", "token"),
    [
        (None, PROFILE, "activation_code_unknown"),
        ({}, None, "activation_code_disabled"),
        ({}, {"enabled": False}, "activation_code_disabled"),
        ({"expires_at": 100}, PROFILE, "activation_code_expired"),
    ],
)
def test_a_code_is_refused_with_its_reason(key: dict, profile: dict, token: str) -> None:
    """401, and a token that says which of the reasons it is."""
    with pytest.raises(Unauthenticated) as refused:
        check_key(key, profile, now=100)
    assert refused.value.problems[0].token == token


@pytest.mark.parametrize("key", [{}, {"expires_at": 101}, {"expires_at": None}])
def test_a_good_code_passes(key: dict) -> None:
    """Unlimited, or not yet expired."""
    check_key(key, PROFILE, now=100)


def test_a_code_is_found_by_its_hash_alone() -> None:
    """What is stored does not give the code away; spaces around a pasted code do not matter."""
    assert code_hash(" abc\n") == code_hash("abc")
    assert "abc" not in code_hash("abc")


def wish(**wishes: object) -> Activate:
    return Activate(activation_code="c", host=HOST, **wishes)  # type: ignore[arg-type]


def test_locks_hold_by_default() -> None:
    """A profile that says nothing of locks gives what it has and nothing else."""
    asked = wish(enforcement_mode="full", visibility_level="flow_off", labels={"role": "x"})
    granted = grant(PROFILE, asked, KEYS)
    assert granted.enforcement_mode == "visibility_only"
    assert granted.visibility_level == "flow_summary"
    assert granted.label_hrefs == ("/orgs/1/labels/1", "/orgs/1/labels/2")
    assert not granted.wished_labels


def test_unlocked_wishes_are_granted() -> None:
    """An unlocked key replaces the profile's label of that key; other keys keep theirs."""
    open_profile = {
        **PROFILE,
        "enforcement_mode_lock": False,
        "visibility_level_lock": False,
        "role_label_lock": False,
    }
    asked = wish(
        enforcement_mode="full", visibility_level="flow_off", labels={"role": "x", "app": "y"}
    )
    granted = grant(open_profile, asked, KEYS)
    assert (granted.enforcement_mode, granted.visibility_level) == ("full", "flow_off")
    assert granted.label_hrefs == ("/orgs/1/labels/2",)
    assert granted.wished_labels == {"role": "x"}
