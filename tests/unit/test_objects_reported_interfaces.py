"""Addresses that a VEN reports."""

import pytest

from pce.errors import Invalid
from pce.objects.reported_interfaces import check_interfaces
from ven_protocol.messages import Interface


def test_addresses_of_every_kind_pass() -> None:
    """Both families, with a zone, and without a gateway."""
    texts = ("10.0.0.1", "fd77::1", "fe80::1%eth0", "::ffff:10.0.0.1")
    check_interfaces([Interface(name="eth0", address=text) for text in texts])
    check_interfaces([Interface(name="eth0", address="10.0.0.1", default_gateway_address="")])


@pytest.mark.parametrize("text", ["", "10.0.0.999", "10.0.0.1/24", "db.example.com", "1.2.3"])
def test_what_is_no_address_is_named_with_its_place(text: str) -> None:
    """Each one, the gateways too."""
    good = Interface(name="lo", address="127.0.0.1")
    bad = Interface(name="eth0", address=text, default_gateway_address="router")
    with pytest.raises(Invalid) as refused:
        check_interfaces([good, bad], "container_workloads[2].interfaces")
    places = [problem.field for problem in refused.value.problems]
    at = "container_workloads[2].interfaces[1]"
    assert places == [f"{at}.address", f"{at}.default_gateway_address"]
    assert repr(text) in refused.value.problems[0].message
