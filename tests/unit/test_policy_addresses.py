"""Addresses, ranges and their canonical texts."""

import pytest

from pce.policy.addresses import interval, member, member_interval, peer_address, subtract


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("FD00:0:0::1", "fd00::1"),
        ("127.0.0.1", None),
        ("127.9.9.9", None),
        ("::1", None),
        ("169.254.1.1", None),
        ("fe80::1", None),
        ("fe80::1%eth0", None),
        ("224.0.0.1", None),
        ("ff02::1", None),
        ("0.0.0.0", None),
        ("::", None),
    ],
)
def test_peer_address(text, expected):
    """Canonical text; None for addresses that mean something only on their own host or link."""
    assert peer_address(text) == expected


@pytest.mark.parametrize("text", ["", "web-1", "10.0.0.0/8", "10.0.0.256", "1.2.3"])
def test_peer_address_refuses_what_is_no_address(text):
    """ValueError, for the caller to report."""
    with pytest.raises(ValueError, match=r".+"):
        peer_address(text)


@pytest.mark.parametrize(
    ("from_ip", "to_ip", "expected"),
    [
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1/32", None, "10.0.0.1"),
        ("10.0.0.7/8", None, "10.0.0.0/8"),
        ("0.0.0.0/0", None, "0.0.0.0/0"),
        ("::/0", None, "::/0"),
        ("10.0.0.5", "10.0.0.5", "10.0.0.5"),
        ("10.0.0.5", "10.0.0.9", "10.0.0.5-10.0.0.9"),
        ("10.0.0.0", "10.0.0.255", "10.0.0.0/24"),
        ("10.0.0.1", "10.0.0.2", "10.0.0.1-10.0.0.2"),
        ("fd00::", "fd00::ff", "fd00::/120"),
        ("2001:DB8::1", "2001:db8::3", "2001:db8::1-2001:db8::3"),
    ],
)
def test_one_text_for_one_interval(from_ip, to_ip, expected):
    """Address if it is one, prefix if it is one, else range; and back again."""
    assert member(interval(from_ip, to_ip)) == expected
    assert member_interval(expected) == interval(from_ip, to_ip)


@pytest.mark.parametrize(
    ("from_ip", "to_ip"),
    [
        ("10.0.0.9", "10.0.0.1"),
        ("10.0.0.1", "::1"),
        ("10.0.0.0/8", "10.0.0.9"),
        ("10.0.0.1", "10.0.1.0/24"),
        ("host", None),
        ("10.0.0.0/33", None),
    ],
)
def test_interval_refuses_what_is_none(from_ip, to_ip):
    """Backwards, mixed families, a prefix with an end, or no address at all."""
    with pytest.raises(ValueError, match=r".+"):
        interval(from_ip, to_ip)


@pytest.mark.parametrize(
    ("included", "excluded", "left"),
    [
        (["10.0.0.0/24"], ["10.0.0.0/24"], []),
        (["10.0.0.0/24"], ["10.0.0.0/25"], ["10.0.0.128/25"]),
        (["10.0.0.0/30"], ["10.0.0.1"], ["10.0.0.0", "10.0.0.2/31"]),
        (["10.0.0.0/30"], ["10.0.0.0", "10.0.0.3"], ["10.0.0.1-10.0.0.2"]),
        (["10.0.0.0/25", "10.0.0.128/25"], [], ["10.0.0.0/24"]),
        (["10.0.0.0/24", "10.0.0.7"], [], ["10.0.0.0/24"]),
        (["0.0.0.0/0", "::/0"], ["::/0"], ["0.0.0.0/0"]),
        (["255.255.255.255", "::"], [], ["255.255.255.255", "::"]),
        ([], ["10.0.0.0/8"], []),
    ],
)
def test_subtract(included, excluded, left):
    """What remains is exact, disjoint and merged; families never touch."""
    result = subtract(map(member_interval, included), map(member_interval, excluded))
    assert [member(part) for part in result] == left
