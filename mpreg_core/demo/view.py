"""What the demo shows: the tree of nodes, the steps of the tour, the last events. It fits 80 columns and 24 lines."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from mpreg_core.demo.fleet import Fleet
from mpreg_core.demo.shape import Place
from mpreg_core.demo.tour import Step, Tour
from mpreg_core.ids import NodeId

EVENTS_SHOWN = 4
REGIONS_IN_FULL = 3
_MARKS = {
    "waits": ("·", "dim"),
    "runs": ("▸", "yellow"),
    "held": ("✓", "green"),
    "skipped": ("-", "dim"),
    "failed": ("✗", "bold red"),
}
_DOTS = {"alive": ("●", "green"), "suspect": ("●", "yellow"), "down": ("✗", "bold red"), "joining": ("○", "yellow")}


class View:
    """The picture of a fleet and its tour; `api` is the address of the HTTP API, `hint` says how to end."""

    def __init__(self, fleet: Fleet, tour: Tour, hint: str) -> None:
        self._fleet, self._tour, self._hint = fleet, tour, hint

    def __rich__(self) -> RenderableType:
        """The whole picture as it is now."""
        return Group(self._title(), self._tree(), Text(), steps_table(self._tour.steps, fold=False), *self._events())

    def _title(self) -> Text:
        api = self._fleet.served.get("http")
        title = Text("mpreg demo", style="bold")
        title.append(f"   {len(self._fleet.running)} nodes in one process, real sockets", style="default not bold")
        if api is not None:
            title.append(f"  http://{api}", style="cyan not bold")
        return title

    def _tree(self) -> Tree:
        """Global hubs, below them regions, below them local hubs each with its cluster nodes in its line."""
        shape, homes = self._fleet.shape, self._homes()
        hubs = shape.of("global")
        root = Tree(self._line(hubs), guide_style="dim", hide_root=False)
        for place in shape.of("regional"):
            branch = root.add(self._line([place]))
            locals_ = shape.of("local", place.region)
            if len(shape.region_names) > REGIONS_IN_FULL or len(locals_) > REGIONS_IN_FULL:
                up = sum(self._fleet.seats[local.id].node is not None for local in locals_)
                branch.add(Text(f"{up} of {len(locals_)} local hubs run"))
                continue
            for local in locals_:
                branch.add(self._line([local, *homes.get(local.id, ())]))
        return root

    def _homes(self) -> dict[NodeId, list[Place]]:
        """The cluster nodes by the hub that they are attached to now, or were made for."""
        homes: dict[NodeId, list[Place]] = {}
        for place in self._fleet.shape.of("cluster"):
            node = self._fleet.seats[place.id].node
            home = node.status().parent_hub if node is not None else None
            homes.setdefault(home or place.parent or "", []).append(place)
        return homes

    def _line(self, places: Sequence[Place]) -> Text:
        line = Text(no_wrap=True, overflow="ellipsis")
        for place in places:
            dot, style = _DOTS[self._status(place)]
            line.append(f"{dot} ", style)
            line.append(f"{place.id}  ", "dim" if place.tier == "cluster" else "")
        return line

    def _status(self, place: Place) -> str:
        node = self._fleet.seats[place.id].node
        if node is None:
            return "down"
        return "alive" if node.ready() else "joining"

    def _events(self) -> list[Text]:
        kept = list(self._fleet.events)[-EVENTS_SHOWN:]
        lines = [Text(f"  {line}", style="dim", no_wrap=True, overflow="ellipsis") for line in kept]
        lines += [Text()] * (EVENTS_SHOWN - len(lines))
        return [Text(), *lines, Text(self._hint, style="dim")]


def steps_table(steps: Sequence[Step], *, fold: bool) -> Table:
    """A line for each step: its mark, its name, and what was seen, or what it is about to show."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False, expand=True)
    table.add_column(width=1)
    table.add_column(width=max(len(step.name) for step in steps))
    table.add_column(no_wrap=not fold, overflow="fold" if fold else "ellipsis", ratio=1)
    for step in steps:
        mark, style = _MARKS[step.state]
        words = Text(step.seen or step.shows, style="" if step.seen else "dim")
        table.add_row(Text(mark, style), Text(step.name, "bold" if step.state == "runs" else ""), words)
    return table
