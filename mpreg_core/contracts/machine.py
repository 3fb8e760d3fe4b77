"""The shape of every strategy: a pure state machine.

A machine holds no socket, clock, thread, task, logger or global randomness. Time comes in as `now_ns` (a monotonic
clock, never smaller than at the call before), effects go out as data, chance comes from `context.rng` alone. So the
same object runs under the real driver and in the simulator, and one seed replays any bug.

Rules, checked by the conformance kit:

- Run to completion; never block. Calls are never nested or concurrent.
- Never raise on what comes from the network: drop it and count it in the snapshot. Raising means a bug; the machine
  is discarded and built anew (a consensus engine is stopped instead).
- Bound every collection.
- Sort ids before iterating over a set of them: set order changes with the hash seed.
"""

from typing import Protocol, TypeVar

from msgspec import Struct

from mpreg_core.contracts.effects import Effects
from mpreg_core.ids import NodeId

MessageT = TypeVar("MessageT", bound=Struct, contravariant=True)


class Machine(Protocol[MessageT]):
    """What all families but the transport have in common."""

    def on_message(self, now_ns: int, sender: NodeId, message: MessageT) -> Effects:
        """A decoded message came in. `sender` is who the envelope names; it need not be a member that is known."""
        ...

    def on_deadline(self, now_ns: int) -> Effects:
        """Time passed. May come early, late (by hours, after a pause) or twice; work is bounded whichever it is.

        Afterwards `next_deadline()` is later than `now_ns`, or None.
        """
        ...

    def next_deadline(self) -> int | None:
        """When to call `on_deadline` at the latest, in ns; None for never. Asked after each step: O(1), no effect."""
        ...

    def on_leave(self, now_ns: int) -> Effects:
        """The node is about to leave this pool for good: send what waits, and last messages such as a handover.

        The record that says so has been published already. Nothing is called afterwards.
        """
        ...

    def snapshot(self) -> Struct:
        """A read-only picture of fixed size order for admin, traces and checkers: counters, queue lengths, phase."""
        ...
