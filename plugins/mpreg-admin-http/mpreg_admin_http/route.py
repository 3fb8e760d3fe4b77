"""One line of the table of routes. Who may call it, what goes in and what comes out are told nowhere else."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, get_args

from mpreg_admin_http.call import BodyT, Call, QueryT

Role = Literal["none", "viewer", "operator", "admin"]
"""Who may call a route, each including the one before. `none`: anybody, authenticated or not."""

Method = Literal["GET", "PUT", "POST", "DELETE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Generic[QueryT, BodyT]):
    """A route. `role` has no default, so that none can be forgotten; `answer` is the type of a good answer.

    A handler returns a record, an `Answer` for another status than `status` (one of `others`), an `EventStream` where
    `stream` is set, or a ready response.
    """

    method: Method
    path: str
    role: Role
    handler: Callable[[Call[QueryT, BodyT]], Awaitable[object]]
    query: type[QueryT]
    body: type[BodyT]
    answer: object
    summary: str
    status: int = 200
    others: tuple[int, ...] = ()
    stream: bool = False

    def __post_init__(self) -> None:
        if self.role not in get_args(Role):
            raise ValueError(f"{self.method} {self.path}: expected a role of {get_args(Role)}, got {self.role!r}")


AnyRoute = Route[Any, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """A record to answer with another status than the route's own."""

    status: int
    content: object
