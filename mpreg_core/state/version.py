"""A version of a key: what travels between replicas and lies in the store, as bytes."""

from hashlib import blake2b
from typing import TypeAlias

import msgspec
from msgspec import Struct, structs

from mpreg_core.contracts.api import Json, PolicyName, Scope, StateEntry, StatePolicy
from mpreg_core.errors import ProtocolError
from mpreg_core.state.clock import Stamp
from mpreg_core.state.counter import Counter
from mpreg_core.state.custom import PREFIX, Custom, Merges, merged_text
from mpreg_core.state.maps import Fields
from mpreg_core.state.registers import Decision, First, Last
from mpreg_core.state.sequences import Sequence
from mpreg_core.state.sets import AddWins
from mpreg_core.state.siblings import Siblings
from mpreg_core.state.value import Write, decode_value
from mpreg_core.units import MS_PER_S

AnyState: TypeAlias = Last | First | Siblings | Counter | AddWins | Fields | Sequence | Custom | Decision

STATES: dict[StatePolicy, type[AnyState]] = {
    "last_write_wins": Last,
    "first_write_wins": First,
    "vector_clock": Siblings,
    "counter": Counter,
    "set": AddWins,
    "map": Fields,
    "sequence": Sequence,
    "custom": Custom,
    "consensus": Decision,
}
_RANK = {state: rank for rank, state in enumerate(STATES.values())}


class Version(Struct, frozen=True, array_like=True):
    """A key's state, and the epoch it belongs to: the stamp at which the key was last begun anew, 0 for never.

    Merging is lexicographic, which keeps its laws: the higher epoch wins whole; within an epoch, of two policies that
    were chosen concurrently the later one in `STATES` wins whole; within one policy the states merge.
    """

    epoch: Stamp
    state: AnyState

    def merge(self, other: "Version") -> "Version":
        """What both sides know, together."""
        ours, theirs = (self.epoch, _RANK[type(self.state)]), (other.epoch, _RANK[type(other.state)])
        if ours != theirs:
            return self if ours > theirs else other
        # Equal ranks: both are of one class, which a union does not show to the type checker.
        return Version(self.epoch, self.state.merge(other.state))  # type: ignore[arg-type]

    def erase(self, by: Write) -> "Version":
        """With all that is here removed."""
        return Version(by.stamp if self.state.erased_by_epoch else self.epoch, self.state.erase(by))

    def stamp(self) -> int:
        """The newest stamp inside."""
        return max(self.epoch, self.state.stamp())


_encoder = msgspec.msgpack.Encoder(order="deterministic")
_decoder = msgspec.msgpack.Decoder(Version)


def encode(version: Version) -> bytes:
    """Its bytes: equal versions, equal bytes."""
    return _encoder.encode(version)


def decode(payload: bytes) -> Version:
    """A version from bytes that this node made or checked."""
    return _decoder.decode(payload)


def decode_checked(payload: bytes) -> Version:
    """A version from bytes that came from outside. Raises `ProtocolError`."""
    try:
        version = _decoder.decode(payload)
        version.state.check()
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise ProtocolError(f"expected a version of a key, got {len(payload)} bytes that are none: {error}") from None
    return version


def version_of(payload: bytes) -> str:
    """The opaque version of an entry: the same wherever the key holds the same."""
    return blake2b(payload, digest_size=10).hexdigest()


def policy_of(state: AnyState) -> PolicyName:
    """The policy as users name it."""
    return PREFIX + state.name if isinstance(state, Custom) else state.policy


def entry_of(key: str, scope: Scope, payload: bytes, revision: int, merges: Merges) -> StateEntry:
    """What a reader gets of a version that is alive."""
    state = decode(payload).state
    value, conflicts = _value(state, merges)
    entry = StateEntry(key, value, version_of(payload), revision, policy_of(state), scope, conflicts)
    if isinstance(state, Last) and (lease := state.lease) is not None:
        expires = lease.expires_ms / MS_PER_S if lease.expires_ms else None
        return structs.replace(entry, expires=expires, holder=lease.holder if lease.pool else "")
    return entry


def _value(state: AnyState, merges: Merges) -> tuple[Json, list[Json]]:
    if isinstance(state, Custom) and len(state.held) > 1 and state.name in merges:
        try:
            return decode_value(merged_text(state.texts(), merges[state.name])), []
        except Exception:  # a stranger's function; who gave it counts what it raises, and readers see the conflict
            return state.read(), state.siblings()
    return state.read(), state.siblings()
