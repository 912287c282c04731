"""Bolts keep their pace and their order, whoever asks for how many and when."""

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from pce.policy.pacing import (
    HORIZON_S,
    PER_ACCOUNT,
    PER_ORG,
    SHARES,
    Timetable,
    book,
)

CHANGES = st.tuples(
    st.integers(0, 3),  # seconds since the one before
    st.integers(1, 3),  # org
    st.sampled_from(sorted(SHARES)),
    st.integers(0, 60_000),  # bolts
)


def batches(bolts):
    return [100] * (bolts // 100) + ([bolts % 100] if bolts % 100 else [])


def book_all(changes):
    """What each change was told, as (org, urgency, second asked, sizes, delays)."""
    account, orgs, now, told = Timetable(), defaultdict(Timetable), 1_000, []
    for since, org, urgency, bolts in changes:
        now += since
        sizes = batches(bolts)
        booked = book(orgs[org], account, sizes, urgency, now)
        orgs[org], account = booked.org, booked.account
        told.append((org, urgency, now, sizes, booked.delays_s))
    return told


@given(st.lists(CHANGES, max_size=25))
def test_no_second_takes_more_than_its_share(changes):
    """Per org and in all, so that any t seconds take at most rate * (t + 1)."""
    of_org, of_all = Counter(), Counter()
    for org, _, now, sizes, delays in book_all(changes):
        for size, delay in zip(sizes, delays, strict=True):
            if delay is not None:
                of_org[org, now + delay] += size
                of_all[now + delay] += size
    assert all(count <= PER_ORG for count in of_org.values())
    assert all(count <= PER_ACCOUNT for count in of_all.values())


@given(st.lists(CHANGES, max_size=25))
def test_order_is_kept_and_nothing_waits_longer_than_a_heartbeat(changes):
    """Batches of one change go out in order; what finds no room is at the end, and dropped."""
    for _, _, _, sizes, delays in book_all(changes):
        assert len(delays) == len(sizes)
        kept = [delay for delay in delays if delay is not None]
        assert kept == sorted(kept)
        assert all(0 <= delay <= HORIZON_S for delay in kept)
        assert delays[len(kept) :] == (None,) * (len(sizes) - len(kept))


@given(st.lists(CHANGES, max_size=10), st.integers(1, 3))
def test_a_loosening_change_always_leaves_room_for_a_tightening_one(changes, org):
    """However much loosening is booked, tightening begins at once, and small changes too."""
    loosening = [(since, org, "loosening", bolts) for since, org, _, bolts in changes]
    for urgency in ("small_tightening", "tightening"):
        *_, (_, _, _, _, delays) = book_all([*loosening, (0, org, urgency, 100)])
        assert delays == (0,)


@given(st.lists(CHANGES, max_size=10), st.integers(1, 3))
def test_a_small_tightening_change_passes_fleets(changes, org):
    """Whatever fleets hear of, tightening or not, a hundred bolts that tighten go out at once."""
    fleets = [
        (since, org, "tightening" if urgency == "small_tightening" else urgency, bolts)
        for since, org, urgency, bolts in changes
    ]
    *_, (_, _, _, _, delays) = book_all([*fleets, (0, org, "small_tightening", 100)])
    assert delays == (0,)


def test_a_fleet_alone_hears_at_its_orgs_rate():
    """100,000 VENs within 72 s; 1,000 at once."""
    booked = book(Timetable(), Timetable(), batches(100_000), "loosening", 50)
    assert booked.delays_s[-1] == 100_000 // int(PER_ORG * SHARES["loosening"])
    assert set(book(Timetable(), Timetable(), batches(1_000), "loosening", 50).delays_s) == {0}


def test_what_is_past_is_forgotten_and_a_clock_behind_books_nothing_twice():
    """A timetable holds at most the horizon, and serves a reader whose clock is behind."""
    first = book(Timetable(), Timetable(), batches(10_000), "loosening", 1_000)
    later = book(first.org, first.account, [100], "loosening", 2_000)
    assert later.org == Timetable(2_000, (100,))
    full = book(Timetable(), Timetable(), batches(1_400), "loosening", 1_000)
    behind = book(full.org, full.account, [*batches(1_400), 100], "loosening", 999)
    assert behind.delays_s[:14] == (0,) * 14 and behind.delays_s[14] == 2
