"""Create one object of any collection."""

import uuid
from typing import Any

from pce.events.journal import ResourceChange
from pce.identifiers import tail
from pce.objects.collection import Collection
from pce.objects.hrefs import item_id
from pce.objects.ip_tables_rule import known_custom_rules
from pce.objects.policy_version import new_draft
from pce.store.change import PolicyChange, Put
from pce.usecases.caller import Caller
from pce.usecases.check_references import check_references
from pce.usecases.stores import Stores
from pce.usecases.write_object import POLICY_REASONS, Edit, commit_edit, policy_hrefs


def create_object(
    caller: Caller, collection: Collection, body: Any, stores: Stores, under: str = ""
) -> dict[str, Any]:
    """The new object as it is stored; nothing is left behind when it is refused.

    ``under`` is the href of the object that it lies in, for collections inside others. Raises
    :class:`Invalid` with everything that is wrong, a taken name included. Objects with drafts
    begin as a draft.
    """
    document = collection.new_document(body)
    check_references(caller, collection, document, stores)
    document = identified(caller, collection, document, stores, under)
    commit_edit(caller, collection, creation(collection, document), "create", 201, stores)
    return document


def creation(collection: Collection, document: dict[str, Any]) -> Edit:
    """What is written for a new, identified document."""
    reason = POLICY_REASONS.get(collection.name)
    return Edit(
        document["href"],
        ResourceChange(
            collection.kind,
            collection.in_event(document),
            "create",
            collection.changes(None, document),
        ),
        collection,
        (document,),
        puts=(Put(collection.stored_in, item_id(tail(document["href"])), document),),
        claims=tuple(collection.claims(document)),
        # Of a label too, although nobody has it yet: a warm engine reads only what it is told of.
        policy_changes=(PolicyChange(reason, policy_hrefs(collection, document)),)
        if reason
        else (),
    )


def identified(
    caller: Caller,
    collection: Collection,
    document: dict[str, Any],
    stores: Stores,
    under: str = "",
) -> dict[str, Any]:
    """A new document with its href and authorship. One write for the next number, if numbered."""
    if collection.named_by:
        id = str(document[collection.named_by])
    elif collection.numbered:
        id = str(stores.objects.next_id(caller.org_id, collection.name))
    else:
        id = str(uuid.uuid4())
    between = ("sec_policy", "draft") if collection.provisionable else ()
    within = under or caller.path(*between)
    document = {"href": f"{within}/{collection.name}/{id}", **document, **caller.created()}
    document = with_custom_rules(caller, collection, document, [], stores)
    return new_draft(document, str(uuid.uuid4())) if collection.provisionable else document


def with_custom_rules(
    caller: Caller,
    collection: Collection,
    document: dict[str, Any],
    before: list[dict[str, Any]],
    stores: Stores,
) -> dict[str, Any]:
    """A rule set whose new custom iptables rules have hrefs. One write when there are new ones."""
    if collection.name != "rule_sets":
        return document
    rules = known_custom_rules(document["ip_tables_rules"], before)
    new = [at for at, rule in enumerate(rules) if "href" not in rule]
    if new:
        first = stores.objects.next_id(caller.org_id, "ip_tables_rules", len(new))
        for number, at in enumerate(new, start=first):
            rules[at] = {"href": f"{document['href']}/ip_tables_rules/{number}", **rules[at]}
    return {**document, "ip_tables_rules": rules}
