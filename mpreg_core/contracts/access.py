"""Who is on the other end, and what it may do. The same on every way in: HTTP and the routing plane."""

from typing import Literal, Protocol, get_args

from msgspec import Struct

from mpreg_core.errors import ForbiddenError

Role = Literal["viewer", "operator", "admin"]
"""`viewer` reads and subscribes, `operator` also writes, asks, serves and publishes, `admin` also stops nodes."""

ROLES: tuple[Role, ...] = get_args(Role)
"""Each may do what those before it may."""


class Identity(Struct, frozen=True):
    """Somebody who is known. `expires_ms` is when that ends by the wall clock, in Unix milliseconds; 0: it does not.

    `is_node` says that it is a node of the federation, by its certificate.
    """

    subject: str
    role: Role
    expires_ms: int = 0
    is_node: bool = False

    def require(self, role: Role, what: str) -> None:
        """Raise `ForbiddenError` unless it may do what takes `role`."""
        if ROLES.index(self.role) < ROLES.index(role):
            raise ForbiddenError(f"{what} takes the role {role}, and {self.subject[:100]!r} is {self.role}")


ANYBODY = Identity("anybody", "admin")
"""Where nobody has to say who they are."""


class Authenticator(Protocol):
    """Tells who bears a token."""

    def identify(self, token: str, wall_ms: int) -> Identity:
        """Who that is at a time of the wall clock.

        Raises `UnauthenticatedError` for a token that is missing, forged, of another issuer or expired, and
        `ForbiddenError` for one that gives no role.
        """
        ...
