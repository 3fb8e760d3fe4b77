"""Small drawings in SVG for the report: curves, histograms and bars. They need nothing but a browser."""

from collections.abc import Iterable, Sequence
from html import escape
from math import log10
from statistics import median

WIDTH, HEIGHT, MARGIN = 640, 200, 34
COLOURS = ("#2f6fde", "#d9822b", "#2a8a3e", "#a04fc0")
NOTHING = '<p class="dim">nothing was measured</p>'
BINS = 20

Point = tuple[float, float]


def lines(series: Sequence[Sequence[Point]], x_unit: str, y_unit: str, *, by_decades: bool = False) -> str:
    """Curves over one another, from 0 up; `by_decades` makes the x axis logarithmic and marks the points."""
    points = [point for line in series for point in line]
    if not points:
        return NOTHING
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    if by_decades:
        series = [[(log10(x), y) for x, y in line] for line in series]
    x_min, x_max = (log10(first), log10(last)) if by_decades else (first, last)
    y_max = max(y for _, y in points) or 1.0
    drawn = ""
    for line, colour in zip(series, COLOURS, strict=False):
        path = " ".join(f"{_x(x, x_min, x_max):.1f},{_y(y, y_max):.1f}" for x, y in _thinned(line))
        dash = ' stroke-dasharray="6 5"' if drawn else ""
        drawn += f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
        if by_decades:
            dots = ((_x(x, x_min, x_max), _y(y, y_max)) for x, y in line)
            drawn += "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in dots)
    left, right = (f"{first:,.0f}", f"{last:,.0f}") if by_decades else ("0", f"{last - first:.0f}")
    return _frame(drawn, f"{left} {x_unit}", f"{right} {x_unit}", f"{y_max:.3g} {y_unit}")


def histogram(series: Sequence[Sequence[float]], unit: str) -> str:
    """How often which value, in equal steps."""
    values = [value for each in series for value in each]
    if not values:
        return NOTHING
    top = max(values) or 1.0
    counts = [[sum(1 for value in each if _bin(value, top) == at) for at in range(BINS)] for each in series]
    most = max(max(each) for each in counts) or 1
    width = (WIDTH - 2 * MARGIN) / BINS / len(series)
    drawn = "".join(
        f'<rect x="{MARGIN + (at * len(series) + which) * width:.1f}" y="{_y(count, most):.1f}" '
        f'width="{width * 0.9:.1f}" height="{HEIGHT - MARGIN - _y(count, most):.1f}" fill="{_colour(which)}"/>'
        for which, each in enumerate(counts)
        for at, count in enumerate(each)
        if count
    )
    note = "; ".join(f"median {median(each):.3g} {unit} of {len(each)}" for each in series if each)
    return _frame(drawn, f"0 {unit}", f"{top:.3g} {unit}", str(most)) + f'<p class="dim">{note}</p>'


def bars(values: Sequence[tuple[str, float, str]]) -> str:
    """A bar for each name and value, with what is to be written beside it."""
    if not values:
        return NOTHING
    row, left, most = 20, 190, max(value for _, value, _ in values) or 1.0
    room = WIDTH - left - 150
    drawn = "".join(
        f'<text x="0" y="{at * row + 14}">{escape(name)}</text><rect x="{left}" y="{at * row + 5}" height="11" '
        f'width="{max(1.0, room * value / most):.1f}" fill="{COLOURS[0]}"/>'
        f'<text x="{left + max(1.0, room * value / most) + 6:.1f}" y="{at * row + 14}">{escape(beside)}</text>'
        for at, (name, value, beside) in enumerate(values)
    )
    return f'<svg viewBox="0 0 {WIDTH} {len(values) * row + 6}" role="img">{drawn}</svg>'


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


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
