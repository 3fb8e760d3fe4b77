"""Who can reach the API while nobody is authenticated: this machine alone, unless the operator said otherwise."""

from collections.abc import Mapping

from mpreg_admin_http.options import AdminHttpOptions
from mpreg_admin_http.server import is_loopback
from mpreg_core import ConfigError, Endpoint, Json

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


def serves_anybody(config: Mapping[str, Json], options: AdminHttpOptions) -> bool:
    """Whether the operator said so: by the option `insecure`, or by `security.authentication.method: none`."""
    return options.insecure or _method(config) == "none"


def refuse_exposure(bound: Endpoint, setting: str) -> None:
    """Raise `ConfigError` for an address that others can reach."""
    if not is_loopback(bound):
        raise ConfigError(
            f"expected a loopback address, for no authentication is in force, got {bound}: listen on 127.0.0.1, "
            "configure security.authentication, or set its method to none where the network keeps strangers out",
            where=setting,
        )


def _method(config: Mapping[str, Json]) -> Json:
    security = config.get("security")
    authentication = security.get("authentication") if isinstance(security, dict) else None
    return authentication.get("method") if isinstance(authentication, dict) else None


def allowed_hosts(bound: Endpoint, configured: str) -> frozenset[str] | None:
    """The names that a request to a loopback address may use; None (any) elsewhere."""
    if not is_loopback(bound):
        return None
    address = f"[{bound.host}]" if ":" in bound.host else bound.host
    return LOCAL_NAMES | {address, configured.lower()}
