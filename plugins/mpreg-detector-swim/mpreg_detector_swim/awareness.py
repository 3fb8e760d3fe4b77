"""What a node knows of its own fitness to judge others: Lifeguard's local health."""


class Awareness:
    """Lifeguard's local health multiplier (arXiv 1707.00788, section IV-A): 1 healthy .. `maximum` in trouble."""

    def __init__(self, maximum: int) -> None:
        self._worst = maximum - 1
        self.score = 0

    def better(self) -> None:
        """A probe was answered."""
        self.score = max(0, self.score - 1)

    def worse(self, by: int = 1) -> None:
        """A probe failed, helpers kept silent, or others accuse this node."""
        self.score = min(self._worst, self.score + by)

    def scale(self, time_ns: int) -> int:
        """An interval or time-out as long as this node's state asks for."""
        return time_ns * (self.score + 1)
