"""Strategies with one bug each. `PLANTED` says which check finds it; no other may."""

from dataclasses import replace

import planted_impure
import planted_transports as carriers
from msgspec import Struct
from msgspec.structs import replace as changed

from mpreg_consensus_quorum.plugin import SPEC as QUORUM
from mpreg_core.contracts.effects import Emit, Send
from mpreg_core.contracts.events import Decided, Verdict
from mpreg_core.contracts.router import Refuse
from mpreg_core.testing.stand_ins import (
    HEARTBEATS,
    RUMOURS,
    STRAIGHT,
    Heartbeats,
    Rumours,
    Straight,
    Told,
)
from mpreg_core.units import NS_PER_S


class Beat2(Struct, frozen=True, array_like=True, tag=2):
    """A message that the spec does not name."""


class LooseBeat(Struct, frozen=True, tag="beat"):
    """Not array-like: twice the size on the wire."""

    answer: bool


class Untold(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    size: int = 1


class LooksAtTheClock(Heartbeats):
    def on_deadline(self, now_ns):
        __import__("time").monotonic()
        return super().on_deadline(now_ns)


class Unordered(Heartbeats):
    def on_deadline(self, now_ns):
        effects = super().on_deadline(now_ns)
        return [
            replace_to(effect, tuple({*effect.to})) if isinstance(effect, Send) else effect  # a set's order
            for effect in effects
        ]


def replace_to(send, to):
    return changed(send, to=to)


class RaisesOnLeave(Heartbeats):
    def on_leave(self, now_ns):
        raise KeyError("gone")


class Stranger(Heartbeats):
    def on_deadline(self, now_ns):
        return [*super().on_deadline(now_ns), Send(tuple(sorted(self.members)), Beat2())]


class Loose(Heartbeats):
    def on_message(self, now_ns, sender, message):
        return [self._loose(effect) for effect in super().on_message(now_ns, sender, message)]

    def on_deadline(self, now_ns):
        return [self._loose(effect) for effect in super().on_deadline(now_ns)]

    def _loose(self, effect):
        return changed(effect, message=LooseBeat(effect.message.answer)) if isinstance(effect, Send) else effect


class Spins(Heartbeats):
    spins = False

    def on_deadline(self, now_ns):
        self.spins = self.spins or now_ns - self.due_ns > 1000 * NS_PER_S
        effects = super().on_deadline(now_ns)
        if self.spins:
            self.due_ns = now_ns + 1_000
        return effects


class Trusting(Rumours):
    def on_message(self, now_ns, sender, message):
        if message.hops < 0:
            raise ValueError("hops below zero")
        return super().on_message(now_ns, sender, message)


class RemembersStrangers(Heartbeats):
    def __init__(self, context, options):
        super().__init__(context, options)
        self.strangers = {}

    def on_message(self, now_ns, sender, message):
        if sender not in self.members:
            self.strangers[sender] = now_ns
        return super().on_message(now_ns, sender, message)


class RemembersTheGone(Heartbeats):
    def __init__(self, context, options):
        super().__init__(context, options)
        self.gone = {}

    def on_members(self, now_ns, members):
        self.gone |= {member.id: b"\0" * 10_000 for member in members if member.status == "left"}
        return super().on_members(now_ns, members)


class NoStruct(Heartbeats):
    def snapshot(self):
        return {"known": len(self.members)}


class Patient(Heartbeats):
    silence_ns = 10**6 * NS_PER_S


class Accuses(Heartbeats):
    def __init__(self, context, options):
        super().__init__(context, options)
        self.grudge_ns = context.now_ns + 85 * NS_PER_S

    def on_deadline(self, now_ns):
        effects = super().on_deadline(now_ns)
        if now_ns > self.grudge_ns and self.members:
            self.grudge_ns = 10**20
            member = self.members[min(self.members)]
            return [*effects, Emit(Verdict(member.id, "failed", member.incarnation, "grudge", self.me))]
        return effects


class KeepsTheGone(Heartbeats):
    def on_members(self, now_ns, members):
        return super().on_members(now_ns, [member for member in members if member.status != "left"])


class Unpaused(Heartbeats):
    def on_deadline(self, now_ns):
        self.due_ns = now_ns
        return super().on_deadline(now_ns)


class Unforgiving(Heartbeats):
    """Holds a grudge once half of the pool was dead at once."""

    bitter = False

    def on_deadline(self, now_ns):
        failed = [member for member in self.members.values() if member.status == "failed"]
        self.bitter = self.bitter or len(failed) >= 3
        effects = super().on_deadline(now_ns)
        if self.bitter:
            alive = [member for member in self.members.values() if member.status == "alive"]
            accused = [Emit(Verdict(m.id, "failed", m.incarnation, "grudge", self.me)) for m in alive[:1]]
            return [*effects, *accused]
        return effects


def without(effects, mark):
    """The effects, no item with the mark in them."""
    for effect in effects:
        if isinstance(effect, Send):
            items = tuple(item for item in effect.message.items if mark not in item.key.encode() + item.payload)
            if items:
                yield changed(effect, message=Told(items, effect.message.hops))
        else:
            yield effect


class SkipsOne(Rumours):
    def on_publish(self, now_ns, item):
        return list(without(super().on_publish(now_ns, item), b"k4"))

    def on_deadline(self, now_ns):
        return list(without(super().on_deadline(now_ns), b"k4"))


class TellsNobody(Rumours):
    def on_publish(self, now_ns, item):
        return list(without(super().on_publish(now_ns, item), b"topic.3"))

    def on_deadline(self, now_ns):
        return list(without(super().on_deadline(now_ns), b"topic.3"))


class ForgetsLate(Rumours):
    def on_deadline(self, now_ns):
        return list(without(super().on_deadline(now_ns), b"late"))


class LeavesGaps(Rumours):
    def on_deadline(self, now_ns):
        return list(without(super().on_deadline(now_ns), b"left"))


class Small(Rumours):
    def on_publish(self, now_ns, item):
        return () if len(item.payload) > 50_000 else super().on_publish(now_ns, item)

    def on_deadline(self, now_ns):
        return list(without(super().on_deadline(now_ns), b"x" * 50_000))


class Shouts(Rumours):
    fanout = 100


class IgnoresAvoid(Straight):
    def route(self, target, avoid, policy):
        return super().route(target, frozenset(), policy)


class MissesOne(Straight):
    def route(self, target, avoid, policy):
        if "l3" in (target.node, target.hub) and self.view.me != "l3":
            return Refuse("not there")
        return super().route(target, avoid, policy)


class MissesOneCluster(Straight):
    def route(self, target, avoid, policy):
        return Refuse("not there") if target.node == "c-2-2" else super().route(target, avoid, policy)


class NeverForgets(Straight):
    def on_view(self, now_ns, view):
        if self.view is not None:
            members = {**self.view.members, **view.members}
            view = changed(view, members=members, below={**self.view.below, **view.below})
        return super().on_view(now_ns, view)


class Engine:
    """A quorum engine whose effects are tampered with."""

    def __init__(self, context, options):
        self._engine = QUORUM.create(context, options)
        self.me = context.me.id
        self.has_records = bool(context.records)

    def __getattr__(self, name):
        found = getattr(self._engine, name)
        if not name.startswith("on_"):
            return found
        return lambda *asked: [self.tampered(e) for e in found(*asked) if not self.hides(e)]

    def hides(self, effect):
        return False

    def tampered(self, effect):
        return effect

    def decides(self, effect, key):
        """True for a commit of a key. Core puts the pool in front of it."""
        return isinstance(effect, Emit) and isinstance(effect.event, Decided) and key in effect.event.key

    def lie(self, effect):
        return Emit(changed(effect.event, value=effect.event.value.translate(bytes.maketrans(b"-ve", b"+wf"))))


class Deaf(Engine):
    def on_proposal(self, now_ns, proposal):
        if "decided" in proposal.key:
            return ()
        return self._engine.on_proposal(now_ns, proposal)


class TwoTruths(Engine):
    def tampered(self, effect):
        return self.lie(effect) if self.me == "n03" and self.decides(effect, "truth") else effect


class LiesAfterCrash(Engine):
    def tampered(self, effect):
        return self.lie(effect) if self.has_records and self.decides(effect, "crash") else effect


class Usurper(Engine):
    def on_proposal(self, now_ns, proposal):
        made = Decided(proposal.id, proposal.key, proposal.value, proposal.proposer, "committed", {}, 1)
        return [Emit(made)] if "few" in proposal.key else self._engine.on_proposal(now_ns, proposal)


class Forgetful(Engine):
    def tampered(self, effect):
        return self.lie(effect) if self.decides(effect, "restart") and self.has_records else effect


def detector(kind, **more):
    return replace(HEARTBEATS, name=kind.__name__.lower(), create=kind, **more)


def gossip(kind):
    return replace(RUMOURS, name=kind.__name__.lower(), create=kind)


def router(kind):
    return replace(STRAIGHT, name=kind.__name__.lower(), create=kind)


def engine(kind):
    return replace(QUORUM, name=kind.__name__.lower(), create=kind)


UNORDERED = detector(Unordered)

PLANTED = (
    ("purity", planted_impure.SPEC),
    ("purity", detector(LooksAtTheClock)),
    ("determinism", UNORDERED),
    ("no errors", detector(RaisesOnLeave)),
    ("effects", detector(Stranger)),
    ("wire", detector(Loose, messages=(LooseBeat,))),
    ("deadlines", detector(Spins)),
    ("hostile input", gossip(Trusting)),
    ("hostile input", detector(RemembersStrangers)),
    ("options", detector(Heartbeats, options=Untold)),
    ("churn", detector(RemembersTheGone)),
    ("snapshot", detector(NoStruct)),
    ("crash is found", detector(Patient)),
    ("nobody is accused", detector(Accuses)),
    ("those who left are forgotten", detector(KeepsTheGone)),
    ("a pause convicts nobody", detector(Unpaused)),
    ("the dead come back", detector(Unforgiving)),
    ("items reach all", gossip(SkipsOne)),
    ("messages come once", gossip(TellsNobody)),
    ("a late joiner catches up", gossip(ForgetsLate)),
    ("gaps are closed", gossip(LeavesGaps)),
    ("large items pass", gossip(Small)),
    ("redundancy is bounded", gossip(Shouts)),
    ("proposals are decided", engine(Deaf)),
    ("one truth", engine(TwoTruths)),
    ("crashes change nothing", engine(LiesAfterCrash)),
    ("a minority decides nothing", engine(Usurper)),
    ("a restart of all forgets nothing", engine(Forgetful)),
    ("hops make sense", router(IgnoresAvoid)),
    ("members are reached", router(MissesOne)),
    ("requests arrive", router(MissesOneCluster)),
    ("what is gone is not taken", router(NeverForgets)),
    ("streams keep order", carriers.spec(carriers.Reverses)),
    ("writing at once keeps order", carriers.spec(carriers.Overtakes)),
    ("datagrams arrive", carriers.spec(carriers.Blurs)),
    ("datagrams arrive", carriers.spec(carriers.Mute)),
    ("large frames", carriers.spec(carriers.Swallows)),
    ("nobody there is told", carriers.spec(carriers.Silent)),
    ("a peer returns", carriers.spec(carriers.GivesUp)),
    ("close frees the ports", carriers.spec(carriers.Clings)),
    ("a taken port is told", carriers.spec(carriers.Vague)),
    ("a slow peer", carriers.spec(carriers.Greedy)),
    ("garbage is dropped", carriers.spec(carriers.Uncounted)),
)
"""(the check that finds it, the strategy)."""
