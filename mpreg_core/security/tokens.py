"""Bearer tokens: JSON Web Tokens (RFC 7519) signed with the configured secret, as RFC 8725 has them checked.

One algorithm, HS256, whatever a token says of itself; no keys or addresses of keys out of a token; times with a little
leeway. Where they came from does not matter: `mpreg token issue` makes them, and so does whoever has the secret.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mpreg_core.contracts.access import ROLES, Identity, Role
from mpreg_core.errors import ForbiddenError, UnauthenticatedError
from mpreg_core.units import MS_PER_S

if TYPE_CHECKING:
    from mpreg_core.config.model import NodeConfig

ALGORITHM = "HS256"
TOKEN_BYTES_MAX = 8 * 1024
LEEWAY_S = 30
"""How far the clocks of the issuer and of this host may differ."""

REMEMBERED_MAX = 1_024
"""Tokens whose signature was checked already; over that, all are checked anew."""


class Tokens:
    """Issues and checks tokens. `roles` says as which role a name in a token counts, beside the roles' own names.

    With None every token is an administrator's.

    A token has the claims `iss`, `sub` and `exp`, and `role` (a name) or `roles` (several: the strongest counts); an
    `aud`, where it has one, must name the federation.
    """

    def __init__(self, secret: str, issuer: str, federation: str, roles: Mapping[str, Role] | None) -> None:
        from joserfc.jwk import OctKey

        self._key = OctKey.import_key(secret.encode())
        self._issuer = issuer
        self._federation = federation
        self._roles = None if roles is None else {role: role for role in ROLES} | dict(roles)
        self._known: dict[str, Identity] = {}

    @property
    def names(self) -> Sequence[str]:
        """What a token's role may be called."""
        return sorted(self._roles if self._roles is not None else ROLES)

    def issue(self, subject: str, role: str, now_s: int, expires_in_s: int) -> str:
        """A token for `subject`, good from now on for so long."""
        from joserfc import jwt

        claims = {"iss": self._issuer, "sub": subject, "role": role, "iat": now_s, "exp": now_s + expires_in_s}
        return jwt.encode({"alg": ALGORITHM, "typ": "at+jwt"}, claims, self._key, algorithms=[ALGORITHM])

    def identify(self, token: str, wall_ms: int) -> Identity:
        """See `Authenticator`."""
        identity = self._known.get(token)
        if identity is None:
            identity = self._check(token, wall_ms)
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            self._known[token] = identity
        if wall_ms >= identity.expires_ms:
            raise UnauthenticatedError("the token has expired; get another one")
        return identity

    def _check(self, token: str, wall_ms: int) -> Identity:
        claims = self._claims(token, wall_ms // MS_PER_S)
        subject = str(claims["sub"])
        return Identity(subject, self._role(subject, claims), (int(claims["exp"]) + LEEWAY_S) * MS_PER_S)

    def _role(self, subject: str, claims: Mapping[str, Any]) -> Role:
        if self._roles is None:
            return "admin"
        named = claims.get("roles", claims.get("role"))
        names = named if isinstance(named, list) else [named]
        roles = {self._roles[name] for name in names if isinstance(name, str) and name in self._roles}
        if not roles:
            known = ", ".join(sorted(self._roles))
            raise ForbiddenError(f"expected a token with a role of {known}; that of {subject[:100]!r} has none of them")
        return max(roles, key=ROLES.index)

    def _claims(self, token: str, now_s: int) -> dict[str, Any]:
        """What a token says, once its signature and times are right."""
        from joserfc import jwt
        from joserfc.errors import ExpiredTokenError, JoseError

        if not token:
            raise UnauthenticatedError("expected a bearer token, got none; `mpreg token issue` makes one")
        if len(token) > TOKEN_BYTES_MAX or not token.isascii() or token.count(".") != 2:
            raise UnauthenticatedError(
                f"expected a JSON Web Token of up to {TOKEN_BYTES_MAX} bytes, got {len(token)} characters that are none"
            )
        registry = jwt.JWTClaimsRegistry(
            now=now_s,
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self._issuer},
            sub={"essential": True},
            exp={"essential": True},
            aud={"value": self._federation},
        )
        try:
            claims = jwt.decode(token, self._key, algorithms=[ALGORITHM]).claims
            registry.validate(claims)
        except ExpiredTokenError:
            raise UnauthenticatedError("the token has expired; get another one") from None
        except (JoseError, ValueError, TypeError, RecursionError, OverflowError) as error:
            # Bytes of a stranger: whatever is wrong with them, it says no more than that they are no token of ours.
            raise UnauthenticatedError(f"expected a token that {self._issuer} signed: {_reason(error)}") from None
        return claims


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:200]


def tokens_of(config: "NodeConfig") -> Tokens | None:
    """As configured; None where nobody has to show a token."""
    authentication, authorization = config.security.authentication, config.security.authorization
    if authentication is None or authentication.method != "jwt" or authentication.secret_key is None:
        return None
    roles: dict[str, Role] | None = {}
    if authorization is not None and authorization.rbac_enabled:
        names = authorization.viewer_roles, authorization.operator_roles, authorization.admin_roles
        roles = {name: role for role, each in zip(ROLES, names, strict=True) for name in each}
    elif authorization is not None:
        roles = None
    return Tokens(authentication.secret_key, authentication.issuer, config.federation.name, roles)
