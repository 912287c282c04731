"""Whose address a request has, when proxies forward it."""

import pytest

from pce.access.addresses import client_address, forwarded_hops, is_allowed

PROXIES = ["10.0.0.0/8", "2001:db8::1"]


@pytest.mark.parametrize(
    ("peer", "header", "client"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),  # a stranger's word
        ("192.0.2.1", "203.0.113.9, 192.0.2.1", "192.0.2.1"),  # as API Gateway passes it on
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.1", "203.0.113.9"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"),  # the client's own claim
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),  # a proxy's own request
        ("10.0.0.1", "nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("2001:db8::1", "::ffff:203.0.113.9", "::ffff:203.0.113.9"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("", "203.0.113.9", ""),
    ],
)
def test_only_trusted_proxies_are_believed(peer: str, header: str, client: str) -> None:
    """From the nearest on, and no farther than the first that is no trusted proxy."""
    assert client_address(peer, forwarded_hops(header), PROXIES) == client
    assert client_address(peer, forwarded_hops(header), []) == peer


def test_a_restriction_allows_its_networks_to_the_credentials_that_it_is_for() -> None:
    """What is no address is in no network; an IPv4 address in IPv6 clothes is in its own."""
    office = {"ips": ["192.0.2.0/24", "2001:db8::/32"], "enforcement_exclusions": ["user_sessions"]}
    for address in ("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7"):
        assert is_allowed(office, address, "api_keys")
    for address in ("192.0.3.7", "2001:db9::7", "", "office"):
        assert not is_allowed(office, address, "api_keys")
        assert is_allowed(office, address, "user_sessions")
