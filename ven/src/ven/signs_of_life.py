"""What tells the PCE that this VEN lives: heartbeats, flow posts that carry one, and goodbye.

When which of them is sent is decided in ``ven.core.heartbeat`` and ``ven.core.coordination``.
"""

import asyncio
import logging
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from ven.activation import connected
from ven.configuration import Identity, Server
from ven.core import actions, coordination, health
from ven.core.coordination import VenState
from ven.edge import kerberos
from ven.edge.clock import Clock, rfc3339, unix_time
from ven.edge.files import DataDirectory
from ven.edge.host import uptime_s
from ven.edge.http import AuthenticationRefused, Refused, RequestFailed
from ven.edge.pce import Pce
from ven.work import Work
from ven_protocol.flows import FlowBatch, decode_batch, encode_batch, to_summaries
from ven_protocol.messages import (
    Goodbye,
    Heartbeat,
    HeartbeatReply,
    HostFacts,
    LostAgent,
    settings_digest,
)

GOODBYE_TIMEOUT_S = 4
"""A stopping host does not wait for a PCE that does not answer; goodbye is best effort."""

TOO_EARLY = "flow_window_in_future"
"""The PCE's name for a window that is not over by its clock. That passes, when this host's clock is
set or when the time has come: until then the batch waits like one that nobody heard."""

TOO_LARGE = 413
"""HTTP's status for a body above somebody's limit."""

CLOCK_RIGHT = "this host's clock agrees with the PCE's again"

_log = logging.getLogger("ven.agent")

_BATCH = msgspec.msgpack.Decoder(FlowBatch)


class SignsOfLife:
    """Sends them and feeds what came of them. ``state`` is the VEN's at the time of the command."""

    def __init__(
        self,
        identity: Identity,
        data: DataDirectory,
        pce: Pce,
        facts: Callable[[], HostFacts],
        work: Work,
        clock: Clock,
        feed: Callable[[coordination.Event], None],
        on_token: Callable[[str], None],
    ) -> None:
        """``on_token`` is told of another agent token."""
        self._identity = identity
        self._data = data
        self._pce = pce
        self._facts = facts
        self._work = work
        self._clock = clock
        self._feed = feed
        self._on_token = on_token
        self._refused = False
        """The PCE refused the token the last time."""
        self._missed = 0
        self.answered_at = ""
        """When the PCE answered the last one (RFC 3339); empty before the first."""
        self.clock_off_s = 0
        """By how much this host's clock is ahead of the PCE's, as :func:`health.clock_off` has it.
        """

    async def send_heartbeat(self, state: VenState, done: tuple[str, ...]) -> None:
        """Ends in ``HeartbeatAnswered`` or ``HeartbeatMissed``."""
        if self._refused and self._identity.kerberos:
            await self._renew_token()
        if self._data.unsuspended_untold:
            await self._tell_unsuspended()
        try:
            reply = await self._work.request(self._pce.heartbeat, self._heartbeat(state, done))
        except RequestFailed as error:
            self._missed += 1
            _log.warning("heartbeat missed, %d in a row: %s", self._missed, error)
            self._refused = isinstance(error, AuthenticationRefused)
            self._feed(coordination.HeartbeatMissed(self._refused))
        else:
            self._answered(reply)
            self._feed(coordination.HeartbeatAnswered(reply, done))

    async def post_flows(self, state: VenState, seq: int, done: tuple[str, ...]) -> None:
        """Ends in ``FlowsTaken``, ``FlowsUnreadable`` or ``FlowsMissed``."""
        content = self._data.batch(seq)
        if content is None:
            self._feed(coordination.FlowsUnreadable(seq))
            return
        body = msgspec.msgpack.encode(
            replace(_BATCH.decode(content), heartbeat=self._heartbeat(state, done))
        )
        try:
            reply = await self._work.request(self._pce.flows, body)
        except RequestFailed as error:
            _log.warning("flow batch %d not taken: %s", seq, error)
            if isinstance(error, Refused) and _is_final(error):
                if error.status == TOO_LARGE:
                    self._keep_halves(content)
                self._feed(coordination.FlowsUnreadable(seq))
            else:
                self._feed(coordination.FlowsMissed(seq))
        else:
            self._answered(reply.heartbeat)
            self._feed(coordination.FlowsTaken(seq, reply.heartbeat, done))

    def _keep_halves(self, content: bytes) -> None:
        """A batch is too large for the PCE, or for something on the way: post each half of it as a
        batch of its own. One summary alone cannot be helped."""
        batch = decode_batch(content)
        summaries = to_summaries(batch)
        middle = len(summaries) // 2
        for half in (summaries[:middle], summaries[middle:]) if middle else ():
            try:
                seq = self._data.next_sequence()
                body = encode_batch(
                    seq, batch.start, batch.end, batch.heartbeat, half, batch.container
                )
                stored = self._data.save_batch(seq, body)
            except OSError as error:
                _log.error("%d flow summaries dropped: %s", len(half), error)
            else:
                self._feed(coordination.BatchStored(stored))

    async def _renew_token(self) -> None:
        """By a new Kerberos ticket, as "VEN-to-PCE Communication" has it before a heartbeat. What
        it cannot mend the heartbeat shows."""
        host = Server.parse(self._identity.server).host
        try:
            ticket = await self._work.in_thread(kerberos.ticket_for, host)
            token = await self._work.request(self._pce.renew, ticket)
        except (kerberos.NoTicket, RequestFailed) as error:
            _log.warning("the refused token could not be renewed by Kerberos: %s", error)
            return
        _log.warning("the refused token was renewed by a Kerberos ticket")
        self._on_token(token)

    async def _tell_unsuspended(self) -> None:
        """Nobody heard it when it was; a PCE that takes this VEN for suspended would not miss its
        heartbeats."""
        try:
            await self._work.request(self._pce.unsuspend)
        except RequestFailed as error:
            _log.warning("the PCE does not know yet that this VEN is unsuspended: %s", error)
        else:
            self._data.unsuspended_told()

    async def tell_lost(self, hostname: str) -> None:
        """The PCE does not know this VEN any more: say so, once."""
        message = LostAgent(hostname=hostname, reason="the PCE refuses the agent token")
        await self._work.best_effort("lost agent", self._pce.lost, message)

    async def say_goodbye(self) -> None:
        """The VEN is being stopped. Seconds at most."""
        try:
            await asyncio.wait_for(self._work.in_thread(self._goodbye), GOODBYE_TIMEOUT_S)
        except (RequestFailed, TimeoutError) as error:
            _log.warning("goodbye not heard: %r", error)

    def _goodbye(self) -> None:
        # A connection of its own: the other may be in the middle of a request.
        with connected(self._identity) as pce:
            pce.goodbye(Goodbye())

    def _heartbeat(self, state: VenState, done: tuple[str, ...]) -> Heartbeat:
        document = state.policy.document
        return Heartbeat(
            host=self._facts(),
            uptime_seconds=uptime_s(),
            agent_mode=state.heartbeat.mode,
            applied_etag=state.policy.held,
            health=health.conditions(state.policy, state.reports, self.clock_off_s),
            enforcement_mode=document.mode if document else None,
            done_actions=list(done),
            failed_actions=actions.failures(state.actions, done),
            settings_digest=settings_digest(state.settings),
        )

    def _answered(self, reply: HeartbeatReply) -> None:
        self._compare_clocks(reply.server_time)
        self._refused = False
        if self._missed:
            _log.warning("the PCE answers again after %d missed heartbeats", self._missed)
        self._missed = 0
        self.answered_at = rfc3339(self._clock.wall())

    def _compare_clocks(self, server_time: str) -> None:
        theirs = unix_time(server_time)
        if theirs is None:
            return
        known_s, self.clock_off_s = (
            self.clock_off_s,
            health.clock_off(self.clock_off_s, self._clock.wall() - theirs),
        )
        if self.clock_off_s != known_s:
            _log.warning("%s", health.clock(self.clock_off_s) if self.clock_off_s else CLOCK_RIGHT)


def _is_final(refusal: Refused) -> bool:
    return refusal.is_of_content and TOO_EARLY not in refusal.tokens
