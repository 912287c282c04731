"""Which links of a container host may carry packets."""

from ven.core.pod_admission import MOST_NAMESPACES, UNKNOWN_S, Admission, remembered


def test_a_new_link_is_closed_until_its_pod_is_looked_after() -> None:
    """Whether the pod is known before the link or after it."""
    links = Admission(None)
    assert links.admitted([2], [], {}, 0) == {2}, "what was there before the first look stays"
    assert links.admitted([2, 7], [], {}, 1) == {2}
    assert links.admitted([2, 7], [], {7: False}, 2) == {2}
    assert links.admitted([2, 7], [], {7: True}, 3) == {2, 7}


def test_a_link_of_no_container_is_opened_after_a_while() -> None:
    """And closed again when a container turns up behind it after all."""
    links = Admission([])
    assert links.admitted([7], [], {}, 0) == set()
    assert links.admitted([7], [], {}, UNKNOWN_S - 1) == set()
    assert links.admitted([7], [], {}, UNKNOWN_S) == {7}
    assert links.admitted([7], [], {7: False}, UNKNOWN_S + 1) == set()


def test_a_restart_goes_on_with_what_the_kernel_admits() -> None:
    """A link that came while no VEN ran is closed."""
    assert Admission([2]).admitted([2, 7], [], {}, 0) == {2}


def test_the_way_out_of_the_host_is_never_closed() -> None:
    """Also when its default route is gone for a moment."""
    links = Admission([])
    assert links.admitted([9], [9], {}, 0) == {9}
    assert links.admitted([9], [], {}, 1) == {9}


def test_a_link_that_is_gone_is_forgotten() -> None:
    """Its number may be another's one day."""
    links = Admission([2])
    assert links.admitted([], [], {}, 0) == set()
    assert links.admitted([2], [], {}, 1) == set()


def test_a_namespace_is_enforced_when_one_of_its_pods_is() -> None:
    """As the PCE said last; those without pods stay as they were, up to a bound."""
    known = remembered({"a": True, "b": True}, [("b", None), ("c", "full"), ("c", None)])
    assert known == {"a": True, "b": False, "c": True}
    many = {str(number): False for number in range(MOST_NAMESPACES)}
    assert remembered(many, [("now", "selective")]) == {"now": True}
