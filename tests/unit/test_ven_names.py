"""Which addresses the domain names of a policy mean, over time."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ven.core import names as limits
from ven.core.dns import Answer
from ven.core.names import NameBook, canonical
from ven.core.timing import NEVER, Dice


def packed(*addresses: str) -> list[bytes]:
    return [ip_address(address).packed for address in addresses]


def book(**names: list[str]) -> NameBook:
    return NameBook(Dice(1), names, now=0)


def says(name: str, *addresses: str, ttl: int = 600) -> Answer:
    return Answer(name, tuple((address, ttl) for address in packed(*addresses)))


def shown(found: NameBook, set_id: str) -> list[str]:
    return sorted(str(ip_address(address)) for address in found.learned().get(set_id, ()))


def test_an_answer_fills_the_sets_that_its_name_matches_and_no_other() -> None:
    """Exact names, and names below a star; not the name above it, nor one that only ends alike."""
    found = book(exact=["www.example.com"], below=["*.example.com"], other=["example.org"])
    for name, address in (
        ("www.example.com", "192.0.2.1"),
        ("a.b.example.com", "2001:db8::2"),
        ("example.com", "192.0.2.3"),
        ("badexample.com", "192.0.2.4"),
        ("www.example.com.evil.net", "192.0.2.5"),
    ):
        found.answered(says(name, address), now=0)
    assert shown(found, "exact") == ["192.0.2.1"]
    assert shown(found, "below") == ["192.0.2.1", "2001:db8::2"]
    assert shown(found, "other") == []


def test_an_address_has_the_name_by_which_it_was_found() -> None:
    """For the traffic log; of several names one, always the same."""
    found = book(below=["*.example.com"])
    found.answered(says("b.example.com", "192.0.2.1", "192.0.2.2"), now=0)
    found.answered(says("a.example.com", "192.0.2.1"), now=0)
    first, second = packed("192.0.2.1", "192.0.2.2")
    assert found.names() == {first: "a.example.com", second: "b.example.com"}


NAMES = st.sampled_from(
    ["a.example.com", "b.a.example.com", "example.com", "evil.net", "a.evil.net", "com"]
)
PATTERNS = st.sampled_from(["a.example.com", "*.example.com", "*.com", "evil.net", "*", "*."])


@given(
    st.dictionaries(st.sampled_from("st"), st.lists(PATTERNS, max_size=3)),
    st.lists(st.tuples(NAMES, st.integers(1, 5)), max_size=12),
    st.dictionaries(st.sampled_from("st"), st.lists(PATTERNS, max_size=3)),
)
def test_a_name_never_widens_anything_else(
    names: dict[str, list[str]], answers: list[tuple[str, int]], later: dict[str, list[str]]
) -> None:
    """Whatever is answered, resolved and remembered, a set holds only addresses of names that it
    names, also after the policy changed; and the sets without names none."""
    found = NameBook(Dice(1), names, now=0)
    meant: dict[bytes, set[str]] = {}
    for number, (name, last) in enumerate(answers):
        address = f"192.0.2.{last}"
        meant.setdefault(packed(address)[0], set()).add(name)
        if number % 3 == 0:
            found.answered(says(name, address), now=number)
        elif number % 3 == 1:
            found.resolved(name, packed(address), now=number)
        else:
            found.remember({name: [address]}, now=number)
    for wanted in (names, later):
        found.want(wanted, now=20)
        assert found.learned().keys() == wanted.keys()
        for set_id, addresses in found.learned().items():
            for address in addresses:
                assert any(
                    name == pattern or (pattern[:2] == "*." and name.endswith(pattern[1:]))
                    for name in meant[address]
                    for pattern in wanted[set_id]
                )


@pytest.mark.parametrize(("ttl", "stays_s"), [(0, 60), (600, 600), (2**31, 86_400)])
def test_an_observed_address_goes_with_its_time_to_live(ttl: int, stays_s: int) -> None:
    """Not before a minute, and at last after a day."""
    found = book(s=["*.example.com"])
    assert found.answered(says("a.example.com", "192.0.2.1", ttl=ttl), now=0)
    assert not found.answered(says("a.example.com", "192.0.2.1", ttl=ttl), now=0)
    assert not found.expire(stays_s - 1)
    assert shown(found, "s") == ["192.0.2.1"]
    assert found.wake_at() <= stays_s - 1 + limits.SWEEP_S
    assert found.expire(stays_s + limits.SWEEP_S)
    assert shown(found, "s") == []


def test_another_answer_makes_it_stay() -> None:
    """Its time begins anew."""
    found = book(s=["*.example.com"])
    found.answered(says("a.example.com", "192.0.2.1", ttl=60), now=0)
    found.answered(says("a.example.com", "192.0.2.1", ttl=60), now=50)
    assert not found.expire(100)
    assert found.expire(120)


def test_a_full_name_is_resolved_at_once_and_then_once_a_minute() -> None:
    """One at a time; a star is not resolved."""
    found = book(s=["www.example.com", "*.example.com"])
    assert (found.due(0), found.due(0)) == ("www.example.com", None)
    found.resolved("www.example.com", packed("192.0.2.1"), now=2)
    assert found.due(2 + limits.RESOLVE_S - 1) is None
    assert found.due(2 + limits.RESOLVE_S * (1 + limits.SPREAD)) == "www.example.com"
    assert book(s=["*.example.com"]).due(0) is None
    assert book().wake_at() == NEVER


def test_resolutions_of_many_names_drift_apart() -> None:
    """What began together does not stay together."""
    names = [f"n{number}.example.com" for number in range(20)]
    found = book(s=names)
    for name in names:
        found.resolved(name, [], now=0)
    times = {at for at in range(60, 76) if found.due(at) is not None}
    assert len(times) > 5


def test_the_last_good_answer_stays_while_resolution_fails() -> None:
    """For as long as it takes; then what is new comes and what is old goes, five minutes later."""
    found = book(s=["www.example.com"])
    found.resolved("www.example.com", packed("192.0.2.1", "2001:db8::1"), now=0)
    for now in range(60, 90_000, 60):
        found.failed("www.example.com", now)
        found.expire(now)
    assert shown(found, "s") == ["192.0.2.1", "2001:db8::1"]
    assert found.resolved("www.example.com", packed("192.0.2.2"), now=90_000)
    assert shown(found, "s") == ["192.0.2.2"]


def test_servers_that_take_turns_all_stay() -> None:
    """An address that a later answer lacks is kept for five minutes; a name that is gone means
    nothing after them."""
    found = book(s=["www.example.com"])
    for now, address in ((0, "192.0.2.1"), (60, "192.0.2.2"), (120, "192.0.2.1")):
        found.resolved("www.example.com", packed(address), now)
    assert shown(found, "s") == ["192.0.2.1", "192.0.2.2"]
    found.resolved("www.example.com", [], now=370)
    assert shown(found, "s") == ["192.0.2.1"]
    found.resolved("www.example.com", [], now=430)
    assert shown(found, "s") == []


def test_a_set_holds_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that would go first go first."""
    monkeypatch.setattr(limits, "ADDRESSES_PER_SET", 2)
    found = book(s=["*.example.com"])
    for last, ttl in ((1, 900), (2, 300), (3, 600)):
        found.answered(says("a.example.com", f"192.0.2.{last}", ttl=ttl), now=0)
    assert shown(found, "s") == ["192.0.2.1", "192.0.2.3"]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "0.0.0.0", "169.254.1.1", "224.0.0.1", "::1", "fe80::1", "::ffff:1.2.3.4"],
)
def test_some_addresses_are_nobodys(address: str) -> None:
    """No name means loopback, link-local, multicast or unspecified ones for a policy."""
    found = book(s=["localhost"])
    assert not found.resolved("localhost", packed(address), now=0)
    assert shown(found, "s") == []


def test_a_new_policy_keeps_what_its_names_mean() -> None:
    """Under another set's id too; the kernel can be told before the rules change."""
    found = book(s=["www.example.com", "old.example.com"])
    found.resolved("www.example.com", packed("192.0.2.1"), now=0)
    found.resolved("old.example.com", packed("192.0.2.2"), now=0)
    later = {"t": ["*.example.com", "www.example.com"], "s": ["old.example.com"]}
    assert found.learned(later) == {
        "t": frozenset(packed("192.0.2.1", "192.0.2.2")),
        "s": frozenset(packed("192.0.2.2")),
    }
    assert shown(found, "s") == ["192.0.2.1", "192.0.2.2"], "asking changes nothing"
    found.want(later, now=10)
    assert shown(found, "s") == ["192.0.2.2"]
    assert found.due(10) is None, "what was just resolved can wait"


def test_a_next_process_goes_on_with_what_was_known() -> None:
    """A connection by name outlives a restart of the VEN."""
    names = {"s": ["www.example.com", "*.example.org"]}
    first = book(**names)
    first.resolved("www.example.com", packed("192.0.2.1"), now=0)
    first.answered(says("a.example.org", "2001:db8::1"), now=0)
    second = book(**names)
    second.remember(first.remembered(), now=0)
    assert second.learned() == first.learned()
    assert second.remembered() == first.remembered()


def test_names_are_compared_as_name_servers_write_them() -> None:
    """Case, a dot at the end and other alphabets make no difference."""
    assert canonical("WWW.Example.COM.") == "www.example.com"
    assert canonical("*.Bücher.example") == "*.xn--bcher-kva.example"
    found = book(s=["*.Bücher.Example."])
    assert found.answered(says("a.xn--bcher-kva.example", "192.0.2.1"), now=0)
