"""What the compiler stores of orgs' policies: parts named by their content, the wide head that says
which wide parts are current, and the compiler's counter.

Keys of the policy table
    ``<org>#part#<name>`` / chunk     a class part, block or set version; immutable
    ``<org>#wide`` / ``head``         the wide head
    ``<org>#wide`` / generation       a former wide head (12 digits), until its ``ttl``
    ``<org>#compiler`` / ``number``   how many compiles have begun, and when the last one did
    ``<org>#compiler`` / number       what it was made for (12 digits), until its ``ttl``
    ``sweep`` / ``clock``             when the sweep ran (see ``pce.presence.sweep``)

A part has a partition of its own: a change may write thousands within a second, and a partition
takes 1,000. ``cs`` is the number of the compile that put it last: only a compile that is as new may
let it expire, so that one that was overtaken never retires what a later one names.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from pce.identifiers import OrgId
from pce.policy.parts import WideHead
from pce.store.compression import inflated, pack_json, unpack_json
from pce.store.dynamodb import ConditionFailed, DynamoDB, Item, Key
from pce.store.lru import LruCache

CHUNK_BYTES = 350_000
"""A DynamoDB item holds 400 KB with its keys; a larger part takes several."""
PARTS_BYTES = 32_000_000
"""Memory for parts, as JSON; decoded they take up to five times as much of 512 MB."""
REPLIES_BYTES = 32_000_000
"""Memory for compressed replies."""
RETIRED_TTL_S = 7 * 86_400
"""How long a part that nobody needs any more can still be the base of a VEN's delta."""
COMPILED_TTL_S = 86_400
"""A worker that slept longer has been replaced; it reads the whole org anyway."""
UNFINISHED_AFTER_S = 900
"""A compile ends within the 300 s that its function has; its repetitions are compiles of their own.
Not looked at after ``COMPILED_TTL_S``: then the word of those that ended is gone too."""
HEAD = "head"

Named = TypeVar("Named")


class PolicyStore:
    """Parts, wide heads and the compiler's counter. Threads may share it."""

    def __init__(
        self, table: str, dynamodb: DynamoDB, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._clock = clock
        self._parts: LruCache[tuple[OrgId, str], tuple[Any, int]] = LruCache(
            PARTS_BYTES, lambda part: part[1]
        )
        self._heads: dict[OrgId, tuple[float, float, WideHead]] = {}
        """When the read of an org's wide head began, when it ended, and the head."""
        self.replies: LruCache[tuple[OrgId, str, str], bytes] = LruCache(REPLIES_BYTES, len)
        """Compressed replies by org, held etag and target etag."""

    # -- parts -----------------------------------------------------------------------------------

    def put_parts(self, org_id: OrgId, parts: Mapping[str, Any], number: int) -> int:
        """Store parts by name for compile ``number``; a retired one is current again. Returns the
        compressed bytes. One request per 25 parts, one write unit per KB."""
        items: list[dict[str, Any]] = []
        size = 0
        for name, part in parts.items():
            body = pack_json(part)
            size += len(body)
            starts = range(0, len(body), CHUNK_BYTES)
            for chunk, start in enumerate(starts):
                items.append(
                    {
                        **_part_key(org_id, name, chunk),
                        "body": {"B": body[start : start + CHUNK_BYTES]},
                        "cs": {"N": str(number)},
                        "chunks": {"N": str(len(starts))},
                    }
                )
        self._dynamodb.put_all(self._table, items)
        return size

    def parts(self, org_id: OrgId, names: Iterable[str], kind: type[Named]) -> dict[str, Named]:
        """Parts of one kind by name; those that are not stored (any more) are left out.

        Read strongly, for what a row names was written a moment ago. One request per 100 names that
        are not in memory, and one more for large parts.
        """
        found: dict[str, Named] = {}
        missing: list[str] = []
        for name in dict.fromkeys(names):
            known = self._parts.get((org_id, name))
            if known is None:
                missing.append(name)
            else:
                found[name] = known[0]
        for name, body in self._bodies(org_id, missing).items():
            plain = inflated(body)
            part = msgspec.json.decode(plain, type=kind)
            self._parts.put((org_id, name), (part, len(plain)))
            found[name] = part
        return found

    def _bodies(self, org_id: OrgId, names: Sequence[str]) -> dict[str, bytes]:
        """Compressed parts by name."""
        first = self._chunks([_part_key(org_id, name, 0) for name in names])
        rest = self._chunks(
            [
                _part_key(org_id, name, chunk)
                for (name, _), item in first.items()
                for chunk in range(1, int(item["chunks"].N))
            ]
        )
        bodies: dict[str, bytes] = {}
        for (name, _), item in first.items():
            chunks = [item] + [
                rest[name, n] for n in range(1, int(item["chunks"].N)) if (name, n) in rest
            ]
            if len(chunks) == int(item["chunks"].N):
                bodies[name] = b"".join(chunk["body"].B for chunk in chunks)
        return bodies

    def _chunks(self, keys: Sequence[Key]) -> dict[tuple[str, int], Item]:
        items = self._dynamodb.get_all(self._table, keys, strongly=True) if keys else []
        return {(item["pk"].S.split("#", 2)[2], int(item["sk"].S)): item for item in items}

    def keep(self, org_id: OrgId, name: str, number: int) -> bool:
        """Let a stored part stay for compile ``number``; False when it is not stored (any more).
        One write of its size a chunk."""
        return self._mark(
            org_id,
            name,
            "SET cs = :n REMOVE #t",
            "attribute_exists(pk)",
            {":n": {"N": str(number)}},
        )

    def retire(self, org_id: OrgId, name: str, number: int, now: int) -> bool:
        """Let a part expire that nobody needs since compile ``number``; False when a later one put
        or kept it. One write of its size a chunk. Safe to repeat."""
        return self._mark(
            org_id,
            name,
            "SET #t = :t",
            "cs <= :n",
            {":n": {"N": str(number)}, ":t": {"N": str(now + RETIRED_TTL_S)}},
        )

    def _mark(
        self, org_id: OrgId, name: str, update: str, condition: str, values: dict[str, Any]
    ) -> bool:
        chunks, chunk = 1, 0
        while chunk < chunks:
            try:
                reply = self._dynamodb.call(
                    "UpdateItem",
                    TableName=self._table,
                    Key=_part_key(org_id, name, chunk),
                    UpdateExpression=update,
                    ConditionExpression=condition,
                    ExpressionAttributeNames={"#t": "ttl"},
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_NEW" if chunk == 0 else "NONE",
                )
            except ConditionFailed:
                return False
            if chunk == 0:
                chunks = int(reply.attributes["chunks"].N)
            chunk += 1
        return True

    # -- the wide head ---------------------------------------------------------------------------

    def wide_head(self, org_id: OrgId, max_age_s: float = 0) -> WideHead:
        """An org's wide head, at most so old; read strongly when it is not in memory. One request,
        or none. An org without wide parts has an empty one of generation 0."""
        known = self._heads.get(org_id)
        if known is not None and self._clock() - known[0] < max_age_s:
            return known[2]
        began = self._clock()
        item = self._get(_wide_key(org_id, HEAD))
        head = _head_in(item) if item else WideHead()
        self._heads[org_id] = (began, self._clock(), head)
        return head

    def known_generation(self, org_id: OrgId, before: float) -> int | None:
        """The generation of the wide head in memory, if it was there before this moment."""
        known = self._heads.get(org_id)
        return known[2].generation if known is not None and known[1] < before else None

    def former_head(self, org_id: OrgId, generation: int) -> WideHead | None:
        """A wide head that another one has replaced, for as long as it is kept. One request."""
        item = self._get(_wide_key(org_id, _number(generation)))
        return _head_in(item) if item else None

    def replace_wide_head(self, org_id: OrgId, old: WideHead, new: WideHead, now: int) -> bool:
        """Make ``new`` the head if ``old`` still is; whether it is now. Two requests, safe to
        repeat. The old one is kept first, so that every state that a VEN may hold is known."""
        if old.generation:
            former = {**_head_item(org_id, _number(old.generation), old)}
            former["ttl"] = {"N": str(now + RETIRED_TTL_S)}
            self._dynamodb.call("PutItem", TableName=self._table, Item=former)
        try:
            self._dynamodb.call(
                "PutItem",
                TableName=self._table,
                Item=_head_item(org_id, HEAD, new),
                ConditionExpression="attribute_not_exists(pk) OR generation = :old",
                ExpressionAttributeValues={":old": {"N": str(old.generation)}},
            )
        except ConditionFailed:
            # A request that was sent again after its reply was lost finds its own head.
            return self.wide_head(org_id) == new
        return True

    # -- the compiler ----------------------------------------------------------------------------

    def begin_compile(self, org_id: OrgId, now: int) -> int:
        """The number of a compile that begins now; higher than that of every earlier one."""
        reply = self._dynamodb.call(
            "UpdateItem",
            TableName=self._table,
            Key=_compiler_key(org_id, "number"),
            UpdateExpression="ADD #n :one SET begun_at = :now",
            ExpressionAttributeNames={"#n": "number"},
            ExpressionAttributeValues={":one": {"N": "1"}, ":now": {"N": str(now)}},
            ReturnValues="UPDATED_NEW",
        )
        return int(reply.attributes["number"].N)

    def is_latest_compile(self, org_id: OrgId, number: int) -> bool:
        """Has no later compile begun? One read."""
        item = self._get(_compiler_key(org_id, "number"))
        return item is not None and int(item["number"].N) == number

    def record_compiled(
        self, org_id: OrgId, number: int, hrefs: Iterable[str] | None, now: int
    ) -> None:
        """Leave word of what changed (None: not known) when a compile was made. One write."""
        body = pack_json(None if hrefs is None else sorted(set(hrefs)))
        item = {
            **_compiler_key(org_id, _number(number)),
            "body": {"B": body},
            "ttl": {"N": str(now + COMPILED_TTL_S)},
        }
        self._dynamodb.call("PutItem", TableName=self._table, Item=item)

    def compiled_between(self, org_id: OrgId, after: int, before: int) -> set[str] | None:
        """The hrefs of what changed for the compiles between two numbers; None when one of them is
        not known to have ended, or to what. One request per 100, none for none."""
        keys = [_compiler_key(org_id, _number(n)) for n in range(after + 1, before)]
        items = self._dynamodb.get_all(self._table, keys, strongly=True) if keys else []
        if len(items) < len(keys):
            return None
        hrefs: set[str] = set()
        for item in items:
            looked_at = unpack_json(item["body"].B)
            if looked_at is None:
                return None
            hrefs.update(looked_at)
        return hrefs

    def unfinished_compiles(self, org_ids: Iterable[OrgId], now: int) -> list[OrgId]:
        """Those of the orgs whose latest compile began ``UNFINISHED_AFTER_S`` ago and has not left
        word that it ended. Two requests per 100 orgs."""
        keys = [_compiler_key(org_id, "number") for org_id in org_ids]
        words: dict[str, tuple[OrgId, Key]] = {}
        for item in self._dynamodb.get_all(self._table, keys):
            begun_at = int(item["begun_at"].N) if "begun_at" in item else 0
            if UNFINISHED_AFTER_S < now - begun_at < COMPILED_TTL_S:
                org_id = OrgId(int(item["pk"].S.partition("#")[0]))
                words[item["pk"].S] = org_id, _compiler_key(org_id, _number(int(item["number"].N)))
        asked = [key for _, key in words.values()]
        ended = {item["pk"].S for item in self._dynamodb.get_all(self._table, asked)}
        return [org_id for pk, (org_id, _) in words.items() if pk not in ended]

    # -- the sweep -------------------------------------------------------------------------------

    def sweep_state(self) -> dict[str, Any]:
        """The document that the last sweep left, or an empty one."""
        item = self._get({"pk": {"S": "sweep"}, "sk": {"S": "clock"}})
        state: dict[str, Any] = unpack_json(item["body"].B) if item else {}
        return state

    def save_sweep_state(self, before: dict[str, Any], after: dict[str, Any]) -> bool:
        """Replace the sweep's document (it must hold ``last_sweep_at``) unless another sweep has
        done so since ``before`` was read; whether it was replaced."""
        item = {
            "pk": {"S": "sweep"},
            "sk": {"S": "clock"},
            "swept_at": {"N": str(after["last_sweep_at"])},
            "body": {"B": pack_json(after)},
        }
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if before:
            condition = {
                "ConditionExpression": "swept_at = :at",
                "ExpressionAttributeValues": {":at": {"N": str(before["last_sweep_at"])}},
            }
        try:
            self._dynamodb.call("PutItem", TableName=self._table, Item=item, **condition)
        except ConditionFailed:
            return False
        return True

    def _get(self, key: Key) -> Item | None:
        return self._dynamodb.call(
            "GetItem", TableName=self._table, Key=key, ConsistentRead=True
        ).item


def _number(number: int) -> str:
    return f"{number:012d}"


def _part_key(org_id: OrgId, name: str, chunk: int) -> Key:
    return {"pk": {"S": f"{org_id}#part#{name}"}, "sk": {"S": str(chunk)}}


def _wide_key(org_id: OrgId, sort: str) -> Key:
    return {"pk": {"S": f"{org_id}#wide"}, "sk": {"S": sort}}


def _compiler_key(org_id: OrgId, sort: str) -> Key:
    return {"pk": {"S": f"{org_id}#compiler"}, "sk": {"S": sort}}


def _head_item(org_id: OrgId, sort: str, head: WideHead) -> dict[str, Any]:
    return {
        **_wide_key(org_id, sort),
        "generation": {"N": str(head.generation)},
        "body": {"B": pack_json(head)},
    }


def _head_in(item: Item) -> WideHead:
    return msgspec.json.decode(inflated(item["body"].B), type=WideHead)
