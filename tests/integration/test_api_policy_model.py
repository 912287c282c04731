"""Drafts and policy versions, compared with a model that is obviously right.

The model keeps two dictionaries, draft and active, and a list of what was active under each
version. Any sequence of edits, deletions, provisionings, reverts and restores must show the same.
"""

import contextlib
import itertools
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
)

from tests.fakes.api import Api, new_org
from tests.fakes.installation import installed

NAMES = st.sampled_from(("a", "b", "c"))
NETWORKS = st.sampled_from(("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
Content = tuple[str, str]
"""Name and network of an IP list."""


class Drafts(RuleBasedStateMachine):
    """IP lists of one org, through the API and in the model."""

    hrefs = Bundle("hrefs")

    def __init__(self) -> None:
        super().__init__()
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(installed())
        self.api: Api = new_org()
        self.draft: dict[str, Content | None] = {}
        """None: marked as deleted."""
        self.active: dict[str, Content] = {}
        self.versions: list[dict[str, Content]] = [{}]
        self.states = itertools.count()
        self.draft_state: dict[str, int] = {}
        """Which state a draft is in: two edits to the same content are two states."""
        self.active_state: dict[str, int] = {}
        self.version_states: list[dict[str, int]] = [{}]
        self.marked: dict[str, str] = {}
        """Names that drafts had when they were marked, while they keep them."""

    def teardown(self) -> None:
        try:
            for number, content in enumerate(self.versions, start=1):
                assert self._provisioned(str(number)) == content
        finally:
            self._stack.close()

    def _taken(self, name: str, besides: str = "") -> bool:
        """A name belongs to the draft that has it; one that is to be deleted keeps that it had."""
        return any(
            content[0] == name if content else self.marked.get(href) == name
            for href, content in self.draft.items()
            if href != besides
        )

    @rule(target=hrefs, name=NAMES, network=NETWORKS)
    def create(self, name: str, network: str) -> Any:
        body = {"name": name, "ip_ranges": [{"from_ip": network}]}
        answer = self.api.call("POST", f"{self.api.draft}/ip_lists", body)
        if self._taken(name):
            assert answer.tokens == ["ip_list_not_unique"]
            return multiple()
        assert answer.status == 201
        self.draft[answer.json["href"]] = (name, network)
        self.draft_state[answer.json["href"]] = next(self.states)
        return answer.json["href"]

    @rule(href=hrefs, name=NAMES, network=NETWORKS)
    def change(self, href: str, name: str, network: str) -> None:
        body = {"name": name, "ip_ranges": [{"from_ip": network}]}
        answer = self.api.call("PUT", href, body)
        if href not in self.draft:
            assert answer.status == 404
        elif self.draft[href] is None:
            assert answer.tokens == ["ip_list_already_deleted"]
        elif self._taken(name, besides=href):
            assert answer.tokens == ["ip_list_not_unique"]
        else:
            assert answer.status == 204
            if self.draft[href] != (name, network):
                self.draft[href] = (name, network)
                self.draft_state[href] = next(self.states)

    @rule(href=hrefs)
    def delete(self, href: str) -> None:
        answer = self.api.call("DELETE", href)
        content = self.draft.get(href)
        if href not in self.draft:
            assert answer.status == 404
        elif content is None:
            assert answer.tokens == ["ip_list_already_deleted"]
        elif href in self.active:
            assert answer.status == 204
            self.marked[href] = content[0]
            self.draft[href] = None
        else:
            assert answer.status == 204
            del self.draft[href]

    @rule(chosen=st.sets(hrefs, max_size=3))
    def provision(self, chosen: set[str]) -> None:
        known = {href for href in chosen if href in self.draft}
        subset = {"ip_lists": [{"href": href} for href in sorted(chosen)]}
        answer = self.api.call("POST", f"{self.api.org}/sec_policy", {"change_subset": subset})
        if known != chosen:
            assert answer.tokens == ["invalid_reference"] * len(chosen - known)
            return
        pending = {href for href in chosen if self._update_type(href) is not None}
        if not pending:
            assert answer.tokens == ["nothing_to_provision"]
            return
        after = self.active | {href: content for href in pending if (content := self.draft[href])}
        after = {href: c for href, c in after.items() if href not in pending or self.draft[href]}
        if len({name for name, _ in after.values()}) < len(after):
            assert set(answer.tokens) == {"name_taken"}
            return
        assert answer.status == 201
        self.active = after
        for href in pending:
            if self.draft[href] is None:
                del self.draft[href], self.active_state[href]
            else:
                self.active_state[href] = self.draft_state[href]
        self.versions.append(dict(self.active))
        self.version_states.append(dict(self.active_state))

    @rule(chosen=consumes(hrefs))
    def revert(self, chosen: str) -> None:
        answer = self.api.call("PUT", f"{self.api.org}/sec_policy/delete", [{"href": chosen}])
        if chosen not in self.draft:
            assert answer.status == 406
        elif chosen not in self.active:
            assert answer.status == 204
            del self.draft[chosen]
        elif self._update_type(chosen) and self._taken(self.active[chosen][0], besides=chosen):
            assert answer.tokens == ["ip_list_not_unique"]
        else:
            assert answer.status == 204
            self.draft[chosen] = self.active[chosen]
            self.draft_state[chosen] = self.active_state[chosen]

    @rule(number=st.integers(1, 6))
    def restore(self, number: int) -> None:
        answer = self.api.call("POST", f"{self.api.org}/sec_policy/{number}/restore", {})
        if number > len(self.versions):
            assert answer.tokens == ["sec_policy_not_found"]
            return
        assert answer.status == 200
        wanted = self.versions[number - 1]
        names = {name for name, _ in wanted.values()}
        for href in self.draft.keys() - wanted.keys():
            content = self.draft[href]
            if href not in self.active:
                del self.draft[href]
            elif content is not None:
                self.draft[href] = None
                self.marked[href] = content[0]
            if self.marked.get(href) in names:
                del self.marked[href]
        self.draft |= wanted
        self.draft_state |= self.version_states[number - 1]

    def _update_type(self, href: str) -> str | None:
        if self.draft[href] is None:
            return "delete"
        if href not in self.active:
            return "create"
        return None if self.draft_state[href] == self.active_state[href] else "update"

    @invariant()
    def shows_the_same(self) -> None:
        shown = {
            entry["href"]: (_content(entry), entry["update_type"])
            for entry in self.api.get(f"{self.api.draft}/ip_lists")[1:]
        }
        assert shown.keys() == self.draft.keys()
        for href, content in self.draft.items():
            assert shown[href][1] == self._update_type(href)
            if content is not None:
                assert shown[href][0] == content
        assert self._provisioned("active") == self.active

    def _provisioned(self, version: str) -> dict[str, Content]:
        entries = self.api.get(f"{self.api.org}/sec_policy/{version}/ip_lists")[1:]
        return {
            entry["href"].replace(f"/{version}/", "/draft/"): _content(entry) for entry in entries
        }


def _content(entry: dict[str, Any]) -> Content:
    return entry["name"], entry["ip_ranges"][0]["from_ip"]


Drafts.TestCase.settings = settings(
    max_examples=5,  # each builds an installation
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestDrafts = Drafts.TestCase
