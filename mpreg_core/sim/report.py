"""The report of one or two runs: one HTML page that needs nothing else, and the figures as JSON."""

from collections.abc import Iterable, Sequence
from html import escape
from statistics import median

from mpreg_core.contracts.api import Json
from mpreg_core.sim.scenario import Outcome

WIDTH, HEIGHT, MARGIN = 640, 200, 34
COLOURS = ("#2f6fde", "#d9822b")
BINS = 20

Point = tuple[float, float]

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
        "bytes_per_node_s": {tier: round(value, 1) for tier, value in outcome.bytes_per_node_s.items()},
        "requests": outcome.requests,
        "requests_answered": outcome.answered,
        "request_ms_p50": _quantile(outcome.request_ms, 0.5),
        "request_ms_p99": _quantile(outcome.request_ms, 0.99),
        "detection_s_p50": _quantile(outcome.detection_s, 0.5),
        "detection_s_max": _quantile(outcome.detection_s, 1.0),
        "false_failures": outcome.false_failures,
    }


def _quantile(values: Sequence[float], share: float) -> float | None:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) if ordered else None


def page(runs: Sequence[tuple[str, Outcome]], command: str) -> str:
    """The page: verdict, figures side by side, curves and histograms, faults, and how to see it again."""
    first = runs[0][1]
    parts = [
        f"<h1>{first.nodes} nodes, seed {first.plan.seed}</h1>",
        "".join(f"<p>{_verdict(name, outcome)}</p>" for name, outcome in runs),
        f"<h2>Figures</h2>{_table(runs)}",
        "<h2>Nodes that are ready</h2>"
        + lines([[(at, 100 * share) for at, share in outcome.curve] for _, outcome in runs], "s", "%"),
        "<h2>Faults</h2>" + _faults(first),
        "<h2>From death to being known, first observer</h2>"
        + histogram([outcome.detection_s for _, outcome in runs], "s"),
        "<h2>Time of a request</h2>" + histogram([outcome.request_ms for _, outcome in runs], "ms"),
        f"<h2>Again</h2><p><code>{escape(command)}</code></p>",
    ]
    if len(runs) > 1:
        legend = " ".join(
            f'<span style="color:{colour}">&#9632; {escape(name)}</span>'
            for (name, _), colour in zip(runs, COLOURS, strict=False)
        )
        parts.insert(1, f"<p>{legend}</p>")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    title = f"<title>mpreg simulate</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang=en>{head}{title}{''.join(parts)}</html>\n"


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


def lines(series: Sequence[Sequence[Point]], x_unit: str, y_unit: str) -> str:
    """Curves over one another, from 0 up."""
    points = [point for line in series for point in line]
    if not points:
        return '<p class="dim">nothing was measured</p>'
    x_min, x_max = min(x for x, _ in points), max(x for x, _ in points)
    y_max = max(y for _, y in points) or 1.0
    drawn = ""
    for line, colour in zip(series, COLOURS, strict=False):
        path = " ".join(f"{_x(x, x_min, x_max):.1f},{_y(y, y_max):.1f}" for x, y in _thinned(line))
        dash = ' stroke-dasharray="6 5"' if drawn else ""
        drawn += f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
    return _frame(drawn, f"0 {x_unit}", f"{x_max - x_min:.0f} {x_unit}", f"{y_max:.3g} {y_unit}")


def histogram(series: Sequence[Sequence[float]], unit: str) -> str:
    """How often which value, in equal steps."""
    values = [value for each in series for value in each]
    if not values:
        return '<p class="dim">nothing was measured</p>'
    top = max(values) or 1.0
    counts = [[sum(1 for value in each if _bin(value, top) == at) for at in range(BINS)] for each in series]
    most = max(max(each) for each in counts) or 1
    width = (WIDTH - 2 * MARGIN) / BINS / len(series)
    drawn = "".join(
        f'<rect x="{MARGIN + (at * len(series) + which) * width:.1f}" y="{_y(count, most):.1f}" '
        f'width="{width * 0.9:.1f}" height="{HEIGHT - MARGIN - _y(count, most):.1f}" fill="{COLOURS[which]}"/>'
        for which, each in enumerate(counts)
        for at, count in enumerate(each)
        if count
    )
    note = "; ".join(f"median {median(each):.3g} {unit} of {len(each)}" for each in series if each)
    return _frame(drawn, f"0 {unit}", f"{top:.3g} {unit}", str(most)) + f'<p class="dim">{note}</p>'


def _bin(value: float, top: float) -> int:
    return min(BINS - 1, int(value / top * BINS))


def _thinned(line: Sequence[Point]) -> Iterable[Point]:
    """At most some 400 points: a screen has no more."""
    step = max(1, len(line) // 400)
    return [*line[::step], line[-1]] if line else []


def _x(x: float, low: float, high: float) -> float:
    return MARGIN + (x - low) / max(high - low, 1e-9) * (WIDTH - 2 * MARGIN)


def _y(y: float, top: float) -> float:
    return HEIGHT - MARGIN - y / top * (HEIGHT - 2 * MARGIN)


def _frame(drawn: str, left: str, right: str, top: str) -> str:
    base = HEIGHT - MARGIN
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f'<line class="axis" x1="{MARGIN}" y1="{base}" x2="{WIDTH - MARGIN}" y2="{base}"/>'
        f'<line class="axis" x1="{MARGIN}" y1="{MARGIN}" x2="{MARGIN}" y2="{base}"/>{drawn}'
        f'<text x="{MARGIN}" y="{base + 16}">{escape(left)}</text>'
        f'<text x="{WIDTH - MARGIN}" y="{base + 16}" text-anchor="end">{escape(right)}</text>'
        f'<text x="{MARGIN}" y="{MARGIN - 8}">{escape(top)}</text></svg>'
    )
