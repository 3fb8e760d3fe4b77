"""The table of checks, and playing them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct

from mpreg_core.contracts.merge import MergePolicySpec
from mpreg_core.contracts.strategy import AnySpec
from mpreg_core.errors import ConfigError
from mpreg_core.ids import Family
from mpreg_core.testing import consensus_checks as consensus
from mpreg_core.testing import detector_checks as detector
from mpreg_core.testing import gossip_checks as gossip
from mpreg_core.testing import machine_checks as machine
from mpreg_core.testing import router_checks as router
from mpreg_core.testing import transport_checks as transport
from mpreg_core.testing.finding import name_of
from mpreg_core.testing.merge_checks import check_merge_policy
from mpreg_core.testing.report import Finding, NotApplicableError, NotConformingError, Report
from mpreg_core.testing.stand_ins import NoOptions
from mpreg_core.testing.subject import Subject

SEEDS, DEEP_SEEDS = (1, 2), tuple(range(1, 11))
MACHINES: tuple[Family, ...] = ("failure_detector", "gossip", "consensus", "routing")


@dataclass(frozen=True, slots=True)
class Check:
    """One property: `run` returns if the strategy has it, and raises `NotConformingError` if it has not."""

    name: str
    families: tuple[Family, ...]
    run: Callable[[Subject], None]

    @property
    def says(self) -> str:
        """What it looks at, in a line."""
        return (self.run.__doc__ or "").partition("\n")[0]


def _checks(
    families: tuple[Family, ...], *runs: Callable[[Subject], None], **named: Callable[[Subject], None]
) -> list[Check]:
    """Checks named after their functions."""
    return [Check(run.__name__.replace("_", " "), families, run) for run in runs] + [
        Check(name.replace("_", " "), families, run) for name, run in named.items()
    ]


CHECKS: Sequence[Check] = (
    *_checks(
        MACHINES,
        machine.purity,
        machine.determinism,
        machine.no_errors,
        machine.effects,
        machine.wire,
        machine.deadlines,
        machine.hostile_input,
        machine.options,
        machine.churn,
        machine.snapshot,
    ),
    *_checks(
        ("failure_detector",),
        detector.crash_is_found,
        detector.nobody_is_accused,
        detector.those_who_left_are_forgotten,
        detector.a_pause_convicts_nobody,
        detector.the_dead_come_back,
    ),
    *_checks(
        ("gossip",),
        gossip.items_reach_all,
        gossip.messages_come_once,
        gossip.a_late_joiner_catches_up,
        gossip.gaps_are_closed,
        gossip.large_items_pass,
        gossip.redundancy_is_bounded,
    ),
    *_checks(
        ("consensus",),
        consensus.proposals_are_decided,
        consensus.one_truth,
        consensus.crashes_change_nothing,
        consensus.a_minority_decides_nothing,
        consensus.a_restart_of_all_forgets_nothing,
    ),
    *_checks(
        ("routing",),
        router.hops_make_sense,
        router.members_are_reached,
        router.requests_arrive,
        router.what_is_gone_is_not_taken,
    ),
    *_checks(
        ("transport",),
        streams_keep_order=transport.streams_keep_order,
        writing_at_once_keeps_order=transport.writing_at_once_keeps_order,
        datagrams_arrive=transport.datagrams_arrive,
        large_frames=transport.large_frames_pass_larger_do_not,
        nobody_there_is_told=transport.nobody_there_is_told,
        a_peer_returns=transport.a_peer_that_returns_is_reached,
        close_frees_the_ports=transport.close_frees_the_ports,
        a_taken_port_is_told=transport.a_taken_port_is_told,
        a_slow_peer=transport.a_slow_peer_is_waited_for,
        garbage_is_dropped=transport.garbage_is_dropped,
    ),
)
"""Every check, in the order in which they are played."""


def check_strategy(
    spec: AnySpec | MergePolicySpec,
    options: Struct | dict[str, Any] | None = None,
    *,
    deep: bool = False,
    only: Sequence[str] = (),
    name: str = "",
) -> Report:
    """Play the checks of its family on a strategy, or the laws on a merge policy.

    Raises `ConfigError` for options that it does not take.

    `deep` plays more seeds; `only` names checks to play. `name` is `module:SPEC` for runs in other processes, found
    by itself where the spec lies in its plugin's module.
    """
    if isinstance(spec, MergePolicySpec):
        return check_merge_policy(spec, name=name)
    made = options_of(spec, options)
    subject = Subject(spec, made, DEEP_SEEDS if deep else SEEDS, deep, name or name_of(spec))
    report = Report(spec.name, spec.family, f"mpreg plugins check {subject.name or spec.name}")
    for check in CHECKS:
        if spec.family in check.families and (not only or check.name in only):
            report.findings.append(_played(check, subject))
    return report


def options_of(spec: AnySpec | MergePolicySpec, options: Struct | dict[str, Any] | None) -> Struct:
    """The options as the strategy takes them. Raises `ConfigError`."""
    if isinstance(options, Struct):
        return options
    if isinstance(spec, MergePolicySpec):
        if options:
            raise ConfigError(f"a merge policy has no options, got {', '.join(options)}", where="options")
        return NoOptions()
    try:
        made: Struct = msgspec.convert(options or {}, spec.options, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigError(str(error), where=f"options of {spec.name}") from error
    return made


def _played(check: Check, subject: Subject) -> Finding:
    try:
        check.run(subject)
    except NotConformingError as error:
        return Finding(check.name, check.says, "failed", str(error))
    except NotApplicableError as reason:
        return Finding(check.name, check.says, "skipped", str(reason))
    except Exception as error:  # a machine that cannot even be used is a finding, too
        return Finding(check.name, check.says, "failed", f"{type(error).__name__}: {error}")
    return Finding(check.name, check.says, "passed")
