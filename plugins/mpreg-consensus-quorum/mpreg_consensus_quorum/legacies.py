"""What the voters of the list before leave to this one, who votes in the next: their decisions and their last votes."""

from mpreg_consensus_quorum.desk import Desk
from mpreg_consensus_quorum.messages import NUMBER_MAX, Accepted, Handover, Legacy, Open, is_key, is_well_formed
from mpreg_consensus_quorum.reader import Reader
from mpreg_consensus_quorum.records import Voted
from mpreg_core import NodeId


class Source:
    """A voter of the list before, and what it said of the keys where it is ahead of this node, or has voted."""

    def __init__(self, boot: int = 0) -> None:
        self.boot = boot
        self.upto = 0
        self.complete = False
        self.ahead: dict[str, int] = {}
        self.open: dict[str, tuple[int, Accepted]] = {}


class Legacies:
    """What each of the voters before told, and whether it is enough."""

    def __init__(self, desk: Desk, reader: Reader) -> None:
        self._desk = desk
        self._reader = reader
        self._sources: dict[NodeId, Source] = {}

    def begin(self, before: tuple[NodeId, ...]) -> None:
        """These are to tell. Of one that told before, only what is new since."""
        self._sources = {node: self._sources.get(node, Source()) for node in before}
        for source in self._sources.values():
            source.complete = False

    def ask(self) -> None:
        """Ask whoever has not told."""
        for node, source in sorted(self._sources.items()):
            if node != self._desk.me and not source.complete:
                self._ask(node, source)

    def _ask(self, node: NodeId, source: Source) -> None:
        self._desk.out.answer(node, Handover(self._desk.electorate.stamp, source.boot, source.upto))

    def on_legacy(self, sender: NodeId, message: Legacy) -> None:
        """What a voter of the list before did. A key it speaks of again is as it says last."""
        source = self._sources.get(sender)
        if source is not None and source.boot != message.boot:
            self._sources[sender] = source = Source(message.boot)
        is_next = source is not None and message.since <= source.upto <= message.upto
        if source is None or not is_next or not all(map(_is_plausible, message.entries)):
            self._desk.drop("stale")
            return
        for entry in message.entries:
            source.ahead.pop(entry.key, None)
            source.open.pop(entry.key, None)
            if entry.decided > self._desk.ledger.known(entry.key):
                source.ahead[entry.key] = entry.decided
                self._reader.on_gap(entry.key, entry.decided, sender)
            if entry.accepted is not None:
                source.open[entry.key] = (entry.decided + 1, entry.accepted)
        source.upto = message.upto
        source.complete = not message.more
        if message.more:
            self._ask(sender, source)

    def are_enough(self) -> bool:
        """True if one at least of those who told is in every set of the voters before that may have chosen a value."""
        ledger, told = self._desk.ledger, 0
        for node, source in self._sources.items():
            if node == self._desk.me:
                told += ledger.seat.active >= ledger.seat.epoch - 1
                continue
            source.ahead = {key: decided for key, decided in source.ahead.items() if ledger.known(key) < decided}
            told += source.complete and not source.ahead
        needed = self._desk.electorate.needed_of(len(self._sources))
        return bool(self._sources) and told >= len(self._sources) - needed + 1

    def take_over(self) -> None:
        """Hold what they voted for as if it were this node's vote: of each key that of the highest ballot."""
        ledger, best = self._desk.ledger, dict[str, Accepted]()
        for source in self._sources.values():
            for key, (instance, accepted) in source.open.items() if source.complete else ():
                slot = ledger.slots.get(key)
                held = best.get(key) or (slot.accepted if slot else None)
                if instance == ledger.known(key) + 1 and (held is None or held.ballot < accepted.ballot):
                    best[key] = accepted
        for key, accepted in sorted(best.items()):
            record = Voted(ledger.known(key) + 1, accepted.ballot, accepted.proposal, accepted.epoch)
            ledger.apply(record)
            self._desk.out.persist(record)
        self._sources = {}


def _is_plausible(entry: Open) -> bool:
    accepted = entry.accepted
    is_vote = accepted is None or (is_well_formed(accepted.proposal) and accepted.proposal.key == entry.key)
    return is_key(entry.key) and 0 <= entry.decided < NUMBER_MAX and is_vote
