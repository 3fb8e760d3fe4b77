"""The log in memory: entries after a base that a snapshot stands for, and the configurations among them."""

from collections.abc import Sequence

from mpreg_consensus_raft.messages import Config, Entry

ENTRY_BYTES = 96
"""What an entry weighs beside its key and value."""


class Log:
    """Indices count from 1; `base` is the last one that the snapshot covers, with its term and configuration."""

    def __init__(self) -> None:
        self.base = 0
        self.base_term = 0
        self.base_config: Config | None = None
        self.size = 0
        self._entries: list[Entry] = []
        self._weights: list[int] = []  # of the entries
        self._configs: list[tuple[int, Config]] = []

    @property
    def last_index(self) -> int:
        """The last entry's."""
        return self.base + len(self._entries)

    @property
    def last_term(self) -> int:
        """The last entry's."""
        return self._entries[-1].term if self._entries else self.base_term

    @property
    def config(self) -> Config | None:
        """The one in force: the last in the log, committed or not (section 6)."""
        return self._configs[-1][1] if self._configs else self.base_config

    @property
    def config_index(self) -> int:
        """Where it stands."""
        return self._configs[-1][0] if self._configs else self.base

    def config_at(self, index: int) -> Config | None:
        """The one that was in force there."""
        held = [config for at, config in self._configs if at <= index]
        return held[-1] if held else self.base_config

    def term_at(self, index: int) -> int | None:
        """An entry's term; None where there is none, or no longer."""
        if index == self.base:
            return self.base_term
        place = index - self.base - 1
        return self._entries[place].term if 0 <= place < len(self._entries) else None

    def entry(self, index: int) -> Entry:
        """The entry of an index above the base."""
        assert self.base < index <= self.last_index
        return self._entries[index - self.base - 1]

    def append(self, entries: Sequence[Entry]) -> None:
        """Add at the end."""
        for entry in entries:
            weight = _weight(entry)
            self._entries.append(entry)
            self._weights.append(weight)
            self.size += weight
            if entry.config is not None:
                self._configs.append((self.last_index, entry.config))

    def truncate(self, first: int) -> None:
        """Drop all from an index on."""
        place = first - self.base - 1
        assert place >= 0
        self.size -= sum(self._weights[place:])
        del self._entries[place:], self._weights[place:]
        while self._configs and self._configs[-1][0] >= first:
            self._configs.pop()

    def between(self, first: int, count: int, size: int) -> tuple[Entry, ...]:
        """At most so many entries and bytes from an index on, but at least one if there is one."""
        place = first - self.base - 1
        assert place >= 0
        weights = self._weights[place : place + count]
        if sum(weights) > size:
            for number, weight in enumerate(weights):
                size -= weight
                if size < 0 and number:
                    return tuple(self._entries[place : place + number])
        return tuple(self._entries[place : place + count])

    def compact(self, index: int) -> None:
        """A snapshot stands for all up to an index."""
        term = self.term_at(index)
        assert term is not None
        self.base_config = self.config_at(index)
        gone = index - self.base
        self.size -= sum(self._weights[:gone])
        del self._entries[:gone], self._weights[:gone]
        self._configs = [(at, config) for at, config in self._configs if at > index]
        self.base, self.base_term = index, term

    def reset(self, index: int, term: int, config: Config | None) -> None:
        """Forget all; a snapshot of another member stands for what was."""
        self._entries.clear()
        self._weights.clear()
        self._configs.clear()
        self.base, self.base_term, self.base_config, self.size = index, term, config, 0


def _weight(entry: Entry) -> int:
    proposal = entry.proposal
    return ENTRY_BYTES if proposal is None else ENTRY_BYTES + len(proposal.value) + len(proposal.key)
