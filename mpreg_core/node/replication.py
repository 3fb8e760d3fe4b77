"""Replicated state at a node: the store, its items in the pools, and the relays between them.

A key lives in a domain: one pool, one region, or the federation. A hub that sits in two pools of a domain relays each
change from one to the other; merging is idempotent, so relays need no memory of their own.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from msgspec import structs

from mpreg_core.contracts.api import Json, PolicyName, Scope, StateChange, StateEntry
from mpreg_core.contracts.events import StateChanged
from mpreg_core.contracts.gossip import Item
from mpreg_core.contracts.merge import MergeFunction
from mpreg_core.errors import CompactedError, MpregError, UnavailableError
from mpreg_core.node import topics
from mpreg_core.node.pool_stack import PoolStack
from mpreg_core.node.state import NodeState
from mpreg_core.registry.failover import PREFIX, Failover, check_failover, read_failover
from mpreg_core.state.history import Compacted
from mpreg_core.state.registers import Lease
from mpreg_core.state.store import Merged, StateStore

_SCOPES: dict[str, Scope] = {"p": "pool", "r": "region", "f": "federation"}
_LETTER = {scope: letter for letter, scope in _SCOPES.items()}


class Replication:
    """The node's replicated keys. Inside the store and on the wire a key is `<domain>/<key>`."""

    def __init__(self, state: NodeState) -> None:
        self._state = state
        merges = {name: self._counted(name, merge) for name, merge in state.settings.merges.items()}
        self.store = StateStore(state.id, state.settings.started_ms, merges)

    # what users ask

    def domain(self, scope: Scope) -> str:
        """The domain that a scope means at this node. Raises `UnavailableError` outside of all pools."""
        if scope == "federation":
            return ""
        if scope == "region":
            return self._state.settings.region
        home = self._state.home()
        if home is None:
            raise UnavailableError("this node has not joined a pool yet", where=self._state.id)
        return home.pool

    def put(
        self,
        key: str,
        value: Json,
        scope: Scope,
        policy: PolicyName | None,
        if_version: str | None,
        lease: Lease | None = None,
    ) -> StateEntry:
        """Write here and tell the domain's pools. Raises as `StateStore.put`; `InvalidInputError` for a bad policy."""
        check_failover(key, value, scope)
        inner = self.inner(scope, key)
        with _named(key, inner):
            self.put_inner(scope, inner, value, lease, policy, if_version)
        return self.get(key, scope)

    def put_inner(
        self,
        scope: Scope,
        inner: str,
        value: Json,
        lease: Lease | None,
        policy: PolicyName | None = None,
        if_version: str | None = None,
    ) -> None:
        """The same for a key with its domain."""
        store, before = self.store, self.store.revision
        store.put(inner, value, scope, policy, if_version, lease, wall_ms=self._state.wall_ms)
        self._spread(scope, inner, except_for=None)
        if store.revision != before:
            key = inner.partition("/")[2]
            self._state.emit(self._state.home(), StateChanged(key, scope, store.revision, deleted=False))

    def lapse(self, scope: Scope, inner: str) -> None:
        """A key's lease ended: remove it and tell the domain's pools."""
        home = self._state.home()
        merged = self.store.lapse(inner, scope)
        if home is not None:
            self._show(merged, home)
        self._spread(scope, inner, except_for=None)

    def delete(self, key: str, scope: Scope, if_version: str | None) -> int:
        """Remove here and tell the domain's pools; gives the revision. Raises as `StateStore.delete`."""
        inner = self.inner(scope, key)
        with _named(key, inner):
            revision = self.store.delete(inner, wall_ms=self._state.wall_ms, scope=scope, if_version=if_version)
        self._spread(scope, inner, except_for=None)
        self._state.emit(self._state.home(), StateChanged(key, scope, revision, deleted=True))
        return revision

    def get(self, key: str, scope: Scope) -> StateEntry:
        """The entry as it is here. Raises `NotFoundError`."""
        inner = self.inner(scope, key)
        with _named(key, inner):
            return self._outer(self.store.get(inner, scope=scope))

    def failover(self, service: str) -> Failover | None:
        """The failover policy of a service, if there is one that can be read."""
        try:
            return read_failover(self.get(f"{PREFIX}{service}", "federation").value, service)
        except MpregError:
            return None

    def list(self, prefix: str, scope: Scope | None) -> Sequence[StateEntry]:
        """The entries here of the domains this node is in, by key."""
        found: list[StateEntry] = []
        for each in (scope,) if scope else _SCOPES.values():
            try:
                inner = self.inner(each, prefix)
            except UnavailableError:
                continue
            found += [self._outer(entry) for entry in self.store.list(inner, scope=each)]
        return sorted(found, key=lambda entry: (entry.key, entry.scope))

    def changes(self, since: int, prefix: str, scope: Scope | None) -> Sequence[StateChange]:
        """What changed after a revision in the domains this node is in, oldest first. Raises `CompactedError`."""
        domains: dict[Scope, str] = {}
        for each in (scope,) if scope else _SCOPES.values():
            with suppress(UnavailableError):
                domains[each] = self.inner(each, prefix)
        changes = self.store.watch(since)
        if isinstance(changes, Compacted):
            raise CompactedError(since, changes.oldest, changes.revision, where=self._state.id)
        found = []
        for change in changes:
            inner = domains.get(change.scope)
            if inner is not None and change.key.startswith(inner):
                entry = change.entry(self.store.merges)
                outer = self._outer(entry) if entry is not None else None
                found.append(StateChange(change.revision, change.key.partition("/")[2], change.scope, outer))
        return found

    def decide(
        self, stack: PoolStack, inner: str, scope: Scope, value: Json, index: int, proposal: str, gone: bool
    ) -> None:
        """A decision of the pool's engine about a key: the store takes it, the other pools of the domain hear of it."""
        try:
            merged = self.store.decide(
                inner, value, wall_ms=self._state.wall_ms, index=index, proposal=proposal, scope=scope, gone=gone
            )
        except MpregError as error:
            self._state.count("mpreg_state_refused_total", code=error.code)
            return
        self._show(merged, stack)
        if merged.changed:
            # All members of this pool hear of it by the engine. That it is held is for those who come later.
            stack.items.put(self._item(scope, inner))
            self._spread(scope, inner, except_for=stack)

    # what arrives

    def is_news(self, item_key: str, payload: bytes) -> bool:
        """True if the item would change the store."""
        scope, inner = _parse(item_key)
        return self.store.is_news(inner, scope, payload, wall_ms=self._state.wall_ms)

    def on_remote(self, stack: PoolStack, item: Item) -> None:
        """A version came in by a pool's gossip. One of a domain that this pool is not part of is not taken."""
        scope, inner = _parse(item.key)
        if not self._belongs(stack, scope, inner.partition("/")[0]):
            raise ValueError(f"{item.key} does not belong into {stack.pool}")
        try:
            merged = self.store.merge(inner, scope, item.payload, wall_ms=self._state.wall_ms)
        except MpregError as error:
            self._state.count("mpreg_state_refused_total", code=error.code)
            return
        if merged.payload == item.payload:
            stack.items.put(item)
        if merged.changed:
            self._show(merged, stack)
            self._spread(scope, inner, except_for=None if merged.novel else stack)

    def fill(self, stack: PoolStack) -> None:
        """This node entered a pool: what it holds for it is there to be found by the pool's anti-entropy."""
        for scope, inner in self.store.held_keys():
            if self._belongs(stack, scope, inner.partition("/")[0]):
                stack.items.put(self._item(scope, inner))

    def collect(self) -> None:
        """Forget removals whose time is over."""
        for scope, inner in self.store.collect(self._state.wall_ms):
            for stack in self._state.stacks.values():
                stack.items.remove(f"{topics.STATE}/{_LETTER[scope]}/{inner}")

    def _spread(self, scope: Scope, inner: str, except_for: PoolStack | None) -> None:
        item = self._item(scope, inner)
        for stack in self._state.lowest_first():
            if stack is not except_for and self._belongs(stack, scope, inner.partition("/")[0]):
                held = stack.items.get(item.key)
                if held is None or held.stamp != item.stamp:
                    stack.publish(item)

    def _show(self, merged: Merged, stack: PoolStack) -> None:
        change = merged.visible
        if change is not None:
            key = change.key.partition("/")[2]
            self._state.emit(stack, StateChanged(key, change.scope, change.revision, change.deleted))

    def _item(self, scope: Scope, inner: str) -> Item:
        payload = self.store.payload(inner, scope=scope)
        return topics.state_item(f"{_LETTER[scope]}/{inner}", payload, self._state.id, self._state.wall_ms)

    def _counted(self, name: str, merge: MergeFunction) -> MergeFunction:
        """A plugin's function that counts its errors: a reader only sees that values conflict."""

        def counted(one: Json, other: Json) -> Json:
            try:
                return merge(one, other)
            except Exception:
                self._state.count("mpreg_plugin_errors_total", pool="", plugin=f"custom:{name}")
                raise

        return counted

    def _belongs(self, stack: PoolStack, scope: Scope, domain: str) -> bool:
        if scope == "federation":
            return True
        if scope == "pool":
            return stack.pool == domain
        if stack.tier == "regional":
            return stack.pool == f"regional:{domain}"
        return stack.tier == "local" and self._state.settings.region == domain

    def inner(self, scope: Scope, key: str) -> str:
        """A key with its domain, as the store and the wire have it. Raises `UnavailableError`."""
        return f"{self.domain(scope)}/{key}"

    def _outer(self, entry: StateEntry) -> StateEntry:
        return structs.replace(entry, key=entry.key.partition("/")[2])


@contextmanager
def _named(key: str, inner: str) -> Iterator[None]:
    """What goes wrong with a key is told by the name that its user gave it, without its domain."""
    try:
        yield
    except MpregError as error:
        error.message = error.message.replace(repr(inner), repr(key))
        error.where = key if error.where == inner else error.where
        raise


def _parse(item_key: str) -> tuple[Scope, str]:
    _, letter, inner = item_key.split("/", 2)
    return _SCOPES[letter], inner
