"""The store: one node's replica of all keys of all its scopes, as encoded versions that merge."""

from collections.abc import Iterable, Sequence
from typing import get_args

import msgspec
from msgspec import Struct, structs

from mpreg_core import limits
from mpreg_core.contracts.api import Json, PolicyName, Scope, StateEntry
from mpreg_core.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PayloadTooLargeError,
    ProtocolError,
    UnavailableError,
)
from mpreg_core.ids import NodeId
from mpreg_core.state.clock import HybridClock, stamp_ms
from mpreg_core.state.custom import Custom, Merges
from mpreg_core.state.history import Change, Compacted, History
from mpreg_core.state.policies import Policies
from mpreg_core.state.registers import Decision, Last, Lease
from mpreg_core.state.value import GONE, Write, encode_value
from mpreg_core.state.version import (
    AnyState,
    Version,
    decode,
    decode_checked,
    encode,
    entry_of,
    policy_of,
    version_of,
)

SCOPES: tuple[Scope, ...] = get_args(Scope)
TOMBSTONE_MS = 24 * 3600 * 1000
"""A removed key is remembered this long after its removal. A replica that was cut off for longer may bring it back."""

AHEAD_MS_MAX = 24 * 3600 * 1000
"""A version stamped further ahead of this node's wall clock is refused: its writer's clock is broken, not just off."""

ABSENT = "0"
"""The version of a key that does not exist, for `if_version`."""

REVISIONS_PER_MS = 1024


class Merged(Struct, frozen=True):
    """What a remote version did. `payload` is what the key holds now, empty for nothing at all.

    `changed`: it taught this node something. `novel`: the result is neither what was held nor what came: publish it.
    `visible`: the change that watchers see, if the key's version changed while or until it was alive.
    """

    changed: bool
    payload: bytes
    novel: bool = False
    visible: Change | None = None


class Slot(Struct, gc=False):
    """A key's place: its encoded version, the revision that last changed it, whether it is alive."""

    payload: bytes
    revision: int
    alive: bool


class Snapshot(Struct, frozen=True, array_like=True):
    """A whole store as bytes. Fields are only ever appended, with defaults."""

    revision: int
    clock: int
    entries: list[tuple[Scope, str, bytes]]


class StateStore:
    """All keys by scope. Never raises on account of what other replicas send but where it says so.

    `life` parts this start of the node from its earlier ones (`Member.started_ms` does): writes of a node that lost
    its memory must not look like old ones, and revisions of an earlier life are not given out again, for they begin
    at `life * REVISIONS_PER_MS`. `wall_ms` is wall-clock milliseconds throughout. `merges` are for `custom` policies.
    """

    def __init__(self, node_id: NodeId, life: int, merges: Merges | None = None) -> None:
        self.clock = HybridClock()
        self.merges: Merges = merges or {}
        self._policies = Policies(self.merges)
        self._node = node_id
        self._actor = f"{node_id}~{life:x}"
        self._slots: dict[Scope, dict[str, Slot]] = {scope: {} for scope in SCOPES}
        self._removed: dict[tuple[Scope, str], None] = {}
        self._history = History(life * REVISIONS_PER_MS)
        self.unsaved: dict[tuple[Scope, str], None] = {}
        self.leased: dict[tuple[Scope, str], Lease] = {}

    @property
    def revision(self) -> int:
        """Grows by one with each visible change here; a number of this node alone."""
        return self._history.revision

    def __len__(self) -> int:
        """Keys held, removed ones that are still remembered included."""
        return sum(map(len, self._slots.values()))

    def put(
        self,
        key: str,
        value: Json,
        scope: Scope = "pool",
        policy: PolicyName | None = None,
        if_version: str | None = None,
        lease: Lease | None = None,
        *,
        wall_ms: int,
    ) -> StateEntry:
        """Write. `payload` then gives what to publish.

        The value is the new one, but for a counter a number to add or `{"add": n}`, for a set `{"add": [...],
        "remove": [...]}`, for a map fields to merge in, where null removes. Without a policy the key's own holds, or
        `last_write_wins` where there is none. `if_version` is a version read before, or `ABSENT`. A `lease` goes with
        `last_write_wins` only; a write without one ends it. Raises
        `InvalidInputError`, `ConflictError`, `PayloadTooLargeError`, `UnavailableError`; then nothing has changed.
        """
        held = self._held(scope, _checked_key(key), wall_ms)
        alive = held is not None and held.state.alive()
        self._check_version(scope, key, alive, if_version)
        begun = self._policies.begun(key, held.state if held is not None and alive else None, policy)
        if isinstance(begun, Custom):
            value = self._policies.merged(key, begun.name, held.state if held is not None and alive else begun, value)
        stamp = self.clock.now(wall_ms, after=held.stamp() if held else 0)
        if held is None:
            base = Version(0, begun)
        elif policy_of(held.state) == policy_of(begun):
            base = held
        else:
            base = Version(stamp, begun)
        state: AnyState = base.state.write(value, Write(stamp, self._node, self._actor))
        if lease is not None:
            if not isinstance(state, Last):
                message = f"expected policy last_write_wins for a key that ends by itself, got {policy_of(state)}"
                raise InvalidInputError(message, where=key)
            state = structs.replace(state, lease=lease)
        self._keep(scope, key, state, encode(Version(base.epoch, state)))
        return self.get(key, scope)

    def delete(self, key: str, scope: Scope = "pool", if_version: str | None = None, *, wall_ms: int) -> int:
        """Remove; gives the revision. Raises `NotFoundError`, `ConflictError`; then nothing has changed."""
        held = self._held(scope, _checked_key(key), wall_ms)
        if held is None or not held.state.alive():
            raise NotFoundError(f"there is no key {key!r} in scope {scope}", where=key)
        self._check_version(scope, key, True, if_version)
        stamp = self.clock.now(wall_ms, after=held.stamp())
        erased = held.erase(Write(stamp, self._node, self._actor))
        self._keep(scope, key, erased.state, encode(erased))
        return self.revision

    def decide(
        self,
        key: str,
        value: Json,
        scope: Scope = "pool",
        *,
        index: int,
        proposal: str,
        wall_ms: int,
        gone: bool = False,
    ) -> Merged:
        """Apply a committed decision to a key of policy `consensus`: the highest index holds, `gone` removes the key.

        Raises `InvalidInputError`, `PayloadTooLargeError`, `UnavailableError`.
        """
        held = self._held(scope, _checked_key(key), wall_ms)
        decision = Decision(index, proposal, GONE if gone else encode_value(value))
        version = Version(held.epoch if held else 0, decision)
        merged = self._merge(scope, key, held, version, encode(version))
        self.unsaved.pop((scope, key), None)
        return merged

    def lapse(self, key: str, scope: Scope) -> Merged:
        """Remove a key whose lease ended. Replicas that do so make the same of it."""
        version = decode(self._slots[scope][key].payload)
        assert isinstance(version.state, Last)
        erased = Version(version.epoch, version.state.lapse())
        payload = encode(erased)
        return Merged(True, payload, True, self._keep(scope, key, erased.state, payload))

    def last(self, key: str, scope: Scope) -> Last | None:
        """The state of a key of policy `last_write_wins`, removed or not."""
        slot = self._slots[scope].get(key)
        state = decode(slot.payload).state if slot is not None else None
        return state if isinstance(state, Last) else None

    def get(self, key: str, scope: Scope = "pool") -> StateEntry:
        """The entry of a key. Raises `NotFoundError`."""
        slot = self._scope(scope).get(key)
        if slot is None or not slot.alive:
            raise NotFoundError(f"there is no key {key!r} in scope {scope}", where=key)
        return entry_of(key, scope, slot.payload, slot.revision, self.merges)

    def list(self, prefix: str = "", scope: Scope | None = None) -> Sequence[StateEntry]:
        """The entries whose key begins with `prefix`, of one scope or all, by key and scope."""
        found = [
            (key, name, slot)
            for name in ([scope] if scope else SCOPES)
            for key, slot in self._scope(name).items()
            if slot.alive and key.startswith(prefix)
        ]
        found.sort(key=lambda each: each[:2])
        return [entry_of(key, name, slot.payload, slot.revision, self.merges) for key, name, slot in found]

    def held_keys(self) -> Sequence[tuple[Scope, str]]:
        """Every key of every scope, removed ones that are still remembered included."""
        return [(scope, key) for scope in SCOPES for key in sorted(self._slots[scope])]

    def payload(self, key: str, scope: Scope = "pool") -> bytes:
        """The encoded version of a key, removed ones included, for other replicas. Raises `NotFoundError`."""
        slot = self._scope(scope).get(key)
        if slot is None:
            raise NotFoundError(f"nothing is known of key {key!r} in scope {scope}", where=key)
        return slot.payload

    def merge(self, key: str, scope: Scope, payload: bytes, *, wall_ms: int) -> Merged:
        """Take in another replica's version; the same twice changes nothing.

        A remembered removal that is over `TOMBSTONE_MS` old changes nothing either. Raises `ProtocolError` for bytes
        that are no version or are stamped too far ahead, `PayloadTooLargeError` where both sides together are over
        the limit, `UnavailableError` when the store is full; then nothing has changed.
        """
        slot = self._scope(scope).get(_checked_key(key))
        if slot is not None and slot.payload == payload:
            return Merged(False, slot.payload)
        held = self._held(scope, key, wall_ms)
        version = self._arrived(payload, wall_ms)
        if held is None and _forgettable(version, wall_ms):
            return Merged(False, b"")
        self.clock.observe(version.stamp(), wall_ms)
        return self._merge(scope, key, held, version, payload)

    def is_news(self, key: str, scope: Scope, payload: bytes, *, wall_ms: int) -> bool:
        """True if `merge` would change something; it may still refuse when the store or the value is full."""
        slot = self._slots[scope].get(key) if scope in self._slots else None
        if slot is not None and slot.payload == payload:
            return False
        try:
            held = self._held(scope, _checked_key(key), wall_ms)
            version = self._arrived(payload, wall_ms)
        except (InvalidInputError, ProtocolError):
            return False
        if held is None:
            return not _forgettable(version, wall_ms) and len(self) < limits.STATE_KEYS_MAX
        merged = encode(held.merge(version))
        return merged != self._slots[scope][key].payload and len(merged) <= limits.ITEM_BYTES_MAX

    def watch(self, since: int, prefix: str = "", scope: Scope | None = None) -> Sequence[Change] | Compacted:
        """The visible changes after a revision, oldest first, or that they are no longer known."""
        changes = self._history.since(since)
        if isinstance(changes, Compacted):
            return changes
        return [each for each in changes if each.key.startswith(prefix) and scope in (None, each.scope)]

    def collect(self, wall_ms: int) -> Sequence[tuple[Scope, str]]:
        """Forget removed keys whose time is over, the longest known first; these are to leave the pools' items too."""
        forgotten = []
        for scope, key in self._removed:
            if not _forgettable(decode(self._slots[scope][key].payload), wall_ms):
                break
            forgotten.append((scope, key))
        for scope, key in forgotten:
            del self._removed[scope, key], self._slots[scope][key]
        return forgotten

    def excerpt(self, keys: Iterable[tuple[Scope, str]]) -> bytes:
        """What `restore` takes, of some keys; those that are forgotten are left out."""
        entries = [(scope, key, slot.payload) for scope, key in keys if (slot := self._slots[scope].get(key))]
        return msgspec.msgpack.encode(Snapshot(self.revision, self.clock.last, entries))

    def snapshot(self) -> bytes:
        """The whole store, removed keys included."""
        entries = [(scope, key, slot.payload) for scope in SCOPES for key, slot in sorted(self._slots[scope].items())]
        return msgspec.msgpack.encode(Snapshot(self.revision, self.clock.last, entries))

    def restore(self, data: bytes, *, wall_ms: int) -> None:
        """Take in a snapshot, of an earlier life or another replica; what is newer here stays. Raises `ProtocolError`.

        All is checked before anything changes; keys over the store's or a value's limit raise as in `merge`.
        """
        try:
            snapshot = msgspec.msgpack.decode(data, type=Snapshot)
        except (ValueError, msgspec.MsgspecError) as error:
            raise ProtocolError(f"expected a snapshot of the store, got bytes that are none: {error}") from None
        entries = [
            (scope, _checked_key(key), decode_checked(payload), payload) for scope, key, payload in snapshot.entries
        ]
        self.clock.last = max(self.clock.last, snapshot.clock)
        self._history.skip_to(snapshot.revision)
        for scope, key, version, payload in entries:
            held = self._held(scope, key, wall_ms)
            if held is not None or not _forgettable(version, wall_ms):
                self._merge(scope, key, held, version, payload)

    def _scope(self, scope: Scope) -> dict[str, Slot]:
        slots = self._slots.get(scope)
        if slots is None:
            raise InvalidInputError(f"expected a scope of {', '.join(SCOPES)}, got {scope!r:.80}")
        return slots

    def _held(self, scope: Scope, key: str, wall_ms: int) -> Version | None:
        """The version of a key; None also for a removal whose time is over."""
        slot = self._scope(scope).get(key)
        if slot is None:
            return None
        version = decode(slot.payload)
        return None if not slot.alive and _forgettable(version, wall_ms) else version

    def _arrived(self, payload: bytes, wall_ms: int) -> Version:
        if len(payload) > limits.ITEM_BYTES_MAX:
            raise ProtocolError(f"expected at most {limits.ITEM_BYTES_MAX} bytes in a version, got {len(payload)}")
        version = decode_checked(payload)
        ahead_ms = stamp_ms(version.stamp()) - wall_ms
        if ahead_ms > AHEAD_MS_MAX:
            raise ProtocolError(f"expected stamps at most {AHEAD_MS_MAX} ms ahead of this node's clock, got {ahead_ms}")
        return version

    def _check_version(self, scope: Scope, key: str, alive: bool, expected: str | None) -> None:
        if expected is None:
            return
        found = version_of(self._slots[scope][key].payload) if alive else ABSENT
        if found != expected:
            message = f"expected version {expected!r}, got {found!r}; read the key again, then retry"
            raise ConflictError(message, where=key)

    def _merge(self, scope: Scope, key: str, held: Version | None, version: Version, came: bytes) -> Merged:
        before = b"" if held is None else self._slots[scope][key].payload
        merged = version if held is None else held.merge(version)
        after = came if merged.state is version.state and merged.epoch == version.epoch else encode(merged)
        if after == before:
            return Merged(False, before)
        visible = self._keep(scope, key, merged.state, after)
        return Merged(True, after, after != came, visible)

    def _keep(self, scope: Scope, key: str, state: AnyState, payload: bytes) -> Change | None:
        """Put a version in its place. The change, if watchers see one. Raises when there is no room for it."""
        if len(payload) > limits.ITEM_BYTES_MAX:
            message = f"expected at most {limits.ITEM_BYTES_MAX} bytes with what the key keeps, got {len(payload)}"
            raise PayloadTooLargeError(message, where=key)
        slots, alive = self._slots[scope], state.alive()
        slot = slots.get(key)
        if slot is None:
            if len(self) >= limits.STATE_KEYS_MAX:
                raise UnavailableError(f"expected at most {limits.STATE_KEYS_MAX} keys, the store is full", where=key)
            slot = slots[key] = Slot(b"", 0, False)
        seen = payload != slot.payload and (alive or slot.alive)
        slot.payload, slot.alive = payload, alive
        self.unsaved[scope, key] = None
        self._removed.pop((scope, key), None)
        self.leased.pop((scope, key), None)
        if isinstance(state, Last) and state.lease is not None:
            self.leased[scope, key] = state.lease
        if not alive and not isinstance(state, Decision):
            self._removed[scope, key] = None
        if not seen:
            return None
        change = self._history.record(key, scope, not alive, payload)
        slot.revision = change.revision
        return change


def _checked_key(key: str) -> str:
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidInputError(f"expected a key in Unicode without lone surrogates, got {key!r:.80}") from None
    if not 1 <= size <= limits.KEY_BYTES_MAX:
        raise InvalidInputError(f"expected a key of 1 to {limits.KEY_BYTES_MAX} bytes, got {size}", where=key[:80])
    return key


def _forgettable(version: Version, wall_ms: int) -> bool:
    """True for a removal whose time is over. Removals by decision stand for ever."""
    if version.state.alive() or isinstance(version.state, Decision):
        return False
    return stamp_ms(version.stamp()) + TOMBSTONE_MS < wall_ms
