"""Who can reach the API while nobody is authenticated: this machine alone, unless the operator said otherwise."""

from collections.abc import Mapping

from mpreg_admin_http.options import AdminHttpOptions
from mpreg_admin_http.server import is_loopback
from mpreg_core import ConfigError, Endpoint, Json

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


def refuse_exposure(bound: Endpoint, setting: str, options: AdminHttpOptions) -> None:
    """Raise `ConfigError` for an address that others can reach."""
    if not options.insecure and not is_loopback(bound):
        raise ConfigError(
            f"expected a loopback address, for no authentication is in force, got {bound}: listen on 127.0.0.1, "
            "or set the option insecure of admin-http where the network keeps strangers out",
            where=setting,
        )


def refuse_unchecked_tokens(config: Mapping[str, Json], options: AdminHttpOptions) -> None:
    """Raise `ConfigError` when the operator counts on tokens, which this version does not check yet."""
    security = config.get("security")
    authentication = security.get("authentication") if isinstance(security, dict) else None
    method = authentication.get("method") if isinstance(authentication, dict) else None
    if not options.insecure and method not in (None, "", "none"):
        raise ConfigError(
            f"this version of admin-http does not check tokens, got {method!r}: it would serve everybody; "
            "remove the section, or set the option insecure of admin-http to serve without",
            where="security.authentication",
        )


def allowed_hosts(bound: Endpoint, configured: str) -> frozenset[str] | None:
    """The names that a request to a loopback address may use; None (any) elsewhere."""
    if not is_loopback(bound):
        return None
    address = f"[{bound.host}]" if ":" in bound.host else bound.host
    return LOCAL_NAMES | {address, configured.lower()}
