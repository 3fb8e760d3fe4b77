"""What the kit found: a report card that an author can publish."""

from dataclasses import dataclass, field
from typing import Literal

from mpreg_core.contracts.api import Json
from mpreg_core.ids import Family

Verdict = Literal["passed", "failed", "skipped"]


class NotConformingError(Exception):
    """A strategy breaks the contract: what was expected, what came, and by which seed."""

    def __init__(self, expected: str, got: str, seed: int | None = None) -> None:
        super().__init__(f"expected {expected}; got {got}{f' (seed {seed})' if seed is not None else ''}")


class NotApplicableError(Exception):
    """The check says nothing of this strategy; the text says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check. `says` is what it looks at, `detail` what went wrong or why it was skipped."""

    check: str
    says: str
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All findings on one strategy."""

    strategy: str
    family: Family | Literal["merge_policy"]
    replay: str
    findings: list[Finding] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """True if no check failed."""
        return not self.failed

    @property
    def failed(self) -> list[Finding]:
        """The findings that say no."""
        return [finding for finding in self.findings if finding.verdict == "failed"]

    def __str__(self) -> str:
        """The card: a line for each check, the details below those that failed, and how to see it again."""
        lines = [f"{self.family} {self.strategy}: {self._counts()}"]
        for finding in self.findings:
            lines.append(f"  {finding.verdict:<8} {finding.check:<34}{finding.detail}".rstrip())
        if self.failed:
            lines.append(f"again: {self.replay}")
        return "\n".join(lines)

    def _counts(self) -> str:
        verdicts = [finding.verdict for finding in self.findings]
        words = [f"{verdicts.count(word)} {word}" for word in ("passed", "failed", "skipped") if word in verdicts]
        return ", ".join(words) or "nothing to check"

    def as_json(self) -> Json:
        """The card for machines."""
        return {
            "strategy": self.strategy,
            "family": self.family,
            "passed": self.passed,
            "replay": self.replay,
            "findings": [
                {"check": each.check, "says": each.says, "verdict": each.verdict, "detail": each.detail}
                for each in self.findings
            ],
        }
