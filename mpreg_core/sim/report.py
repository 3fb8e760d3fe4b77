"""The report of one or several runs: one HTML page that needs nothing else, and the figures as JSON."""

from collections.abc import Sequence
from html import escape

from mpreg_core.contracts.api import Json
from mpreg_core.sim.plots import COLOURS, WIDTH, bars, histogram, lines
from mpreg_core.sim.scenario import Load, Outcome

STYLE = """
:root { color-scheme: light dark; --ink: #1c1f24; --dim: #667; --paper: #fff; --line: #dde; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ec; --dim: #99a; --paper: #16181c; --line: #333845; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  max-width: 720px; padding: 1rem; }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100%; table-layout: fixed }
td, th { text-align: left; padding: .25rem .5rem .25rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere }
td + td, th + th { text-align: right }
svg { width: 100%; height: auto } text { fill: var(--dim); font-size: 11px } .axis { stroke: var(--line) }
.bad { color: #d33 } .good { color: #2a8a3e } .dim { color: var(--dim) } code { overflow-wrap: anywhere }
"""


def figures(name: str, outcome: Outcome) -> dict[str, Json]:
    """What was measured in a run."""
    return {
        "name": name,
        "nodes": outcome.nodes,
        "seed": outcome.plan.seed,
        "digest": outcome.digest,
        "held": outcome.held,
        "violations": [{"check": check, "what": what} for check, what in outcome.violations],
        "faults": [str(fault) for fault in outcome.plan.faults],
        "formed_s": outcome.formed_s,
        "whole_again_s": outcome.healed_s,
        "virtual_s": round(outcome.virtual_s, 3),
        "frames": outcome.frames,
        "bytes": outcome.bytes,
        "frames_per_node_s": {tier: round(load.frames_s, 2) for tier, load in outcome.tiers.items()},
        "bytes_per_node_s": {tier: round(load.bytes_s, 1) for tier, load in outcome.tiers.items()},
        "idle_frames_per_node_s": round(outcome.idle.frames_s, 2),
        "idle_bytes_per_node_s": round(outcome.idle.bytes_s, 1),
        "requests": outcome.requests,
        "requests_answered": outcome.answered,
        "request_ms_p50": _quantile(outcome.request_ms, 0.5),
        "request_ms_p99": _quantile(outcome.request_ms, 0.99),
        "detection_s_p50": _quantile(outcome.detection_s, 0.5),
        "detection_s_max": _quantile(outcome.detection_s, 1.0),
        "spread_s_p50": _quantile(outcome.spread_s, 0.5),
        "spread_s_p99": _quantile(outcome.spread_s, 0.99),
        "false_failures": outcome.false_failures,
    }


def _quantile(values: Sequence[float], share: float) -> float | None:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) if ordered else None


def page(runs: Sequence[tuple[str, Outcome]], command: str) -> str:
    """The page: verdict, figures side by side, curves and histograms, loads, faults, and how to see it again."""
    first = runs[0][1]
    outcomes = [outcome for _, outcome in runs]
    sizes = ", ".join(f"{nodes:,}" for nodes in dict.fromkeys(outcome.nodes for outcome in outcomes))
    parts = [
        f"<h1>{sizes} nodes, seed {first.plan.seed}</h1>",
        "".join(f"<p>{_verdict(name, outcome)}</p>" for name, outcome in runs),
        f"<h2>Figures</h2>{_table(runs)}",
        "<h2>Nodes that are ready</h2>"
        + lines([[(at, 100 * share) for at, share in outcome.curve] for outcome in outcomes], "s", "%"),
        "<h2>Faults</h2>" + _faults(first),
        "<h2>From death to being known, first observer</h2>"
        + histogram([outcome.detection_s for outcome in outcomes], "s"),
        "<h2>From a write to each node that has it</h2>"
        + histogram([[1000 * each for each in outcome.spread_s] for outcome in outcomes], "ms"),
        "<h2>Time of a request</h2>" + histogram([outcome.request_ms for outcome in outcomes], "ms"),
        *(f"<h2>Who sends most{_of(name, runs)}</h2>" + _busiest(outcome) for name, outcome in runs),
        *(
            f"<h2>By the size of a node's largest pool{_of(name, runs)}</h2>" + _pools(outcome)
            for name, outcome in runs
        ),
        *_growth(runs),
        f"<h2>Again</h2><p><code>{escape(command)}</code></p>",
    ]
    if len(runs) > 1:
        legend = " ".join(
            f'<span style="color:{COLOURS[at % len(COLOURS)]}">&#9632; {escape(name)}</span>'
            for at, (name, _) in enumerate(runs)
        )
        parts.insert(1, f"<p>{legend}</p>")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    title = f"<title>mpreg simulate</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang=en>{head}{title}{''.join(parts)}</html>\n"


def _of(name: str, runs: Sequence[tuple[str, Outcome]]) -> str:
    return f": {escape(name)}" if len(runs) > 1 else ""


def _busiest(outcome: Outcome) -> str:
    return bars([(name, load.bytes_s, _rate(load)) for name, load in outcome.busiest.items()])


def _pools(outcome: Outcome) -> str:
    """What a node sends, against how many it shares a pool with."""
    named = [(f"{size} members ({nodes} nodes)", load) for size, (nodes, load) in outcome.pools.items()]
    return bars([(name, load.bytes_s, _rate(load)) for name, load in named])


def _rate(load: Load) -> str:
    return f"{load.frames_s:,.1f} frames/s, {load.bytes_s:,.0f} B/s"


def _growth(runs: Sequence[tuple[str, Outcome]]) -> list[str]:
    """What each node costs at rest against how many there are, where several sizes were run."""
    sizes = sorted(((outcome.nodes, outcome.idle) for _, outcome in runs), key=lambda size: size[0])
    if sizes[0][0] == sizes[-1][0]:
        return []
    drawings = []
    for what, unit, at in (("Frames", "frames/s", 0), ("Bytes", "B/s", 1)):
        points = [(float(nodes), (load.frames_s, load.bytes_s)[at]) for nodes, load in sizes]
        ratio = points[-1][1] / points[0][1] if points[0][1] else 0.0
        drawings.append(
            f"<h2>{what} per node at rest, against the number of nodes</h2>"
            + lines([points], "nodes", unit, by_decades=True)
            + f'<p class="dim">{ratio:.2f}x from {sizes[0][0]:,} to {sizes[-1][0]:,} nodes</p>'
        )
    return drawings


def _verdict(name: str, outcome: Outcome) -> str:
    if outcome.held:
        return f'<b class="good">{escape(name)}: every promise was kept.</b>'
    broken = "".join(f"<br>{escape(check)}: {escape(what)}" for check, what in outcome.violations)
    return f'<b class="bad">{escape(name)}: not every promise was kept.</b>{broken}'


def _table(runs: Sequence[tuple[str, Outcome]]) -> str:
    columns = [figures(name, outcome) for name, outcome in runs]
    rows = [
        f"<tr><td>{escape(key.replace('_', ' '))}</td>"
        + "".join(f"<td>{escape(_shown(column[key]))}</td>" for column in columns)
        + "</tr>"
        for key in columns[0]
        if key not in ("violations", "faults", "name")
    ]
    names = "".join(f"<th>{escape(str(column['name']))}</th>" for column in columns)
    return f"<table><tr><th></th>{names}</tr>{''.join(rows)}</table>"


def _shown(value: Json) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items())
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return (
        "-" if value is None else f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    )


def _faults(outcome: Outcome) -> str:
    """A bar for each fault, over the time of the run."""
    faults = outcome.plan.faults
    if not faults:
        return '<p class="dim">none</p>'
    row, end = 22, outcome.plan.duration_s
    bars = "".join(
        f'<rect x="{WIDTH * fault.at_s / end:.1f}" y="{at * row + 4}" width="{max(2, WIDTH * fault.for_s / end):.1f}" '
        f'height="6" rx="3" fill="{COLOURS[0]}"/><text x="{min(WIDTH * fault.at_s / end, WIDTH - 260):.1f}" '
        f'y="{at * row + 20}">{escape(str(fault))}</text>'
        for at, fault in enumerate(faults)
    )
    return f'<svg viewBox="0 0 {WIDTH} {len(faults) * row + 6}" role="img" aria-label="faults over time">{bars}</svg>'
