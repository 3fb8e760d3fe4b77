"""A node's certificates: TLS 1.3 between nodes and for clients, and whose a certificate is.

Who somebody is stands in the certificate's one URI (a SPIFFE id, of the federation as trust domain), never in its
common name: `spiffe://FEDERATION/node/ID` for a node, `spiffe://FEDERATION/client/NAME/ROLE` for a client.
"""

import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mpreg_core.contracts.access import ROLES, Identity
from mpreg_core.errors import ConfigError, ForbiddenError
from mpreg_core.ids import Plane
from mpreg_core.units import MS_PER_S

if TYPE_CHECKING:
    from mpreg_core.config.model import NodeConfig

SCHEME = "spiffe"


def node_uri(federation: str, node: str) -> str:
    """The name of a node in its certificate."""
    return f"{SCHEME}://{federation}/node/{node}"


def client_uri(federation: str, name: str, role: str) -> str:
    """The name of a client in its certificate."""
    return f"{SCHEME}://{federation}/client/{name}/{role}"


class Certificates:
    """Implements `Tls` from three PEM files. Raises `ConfigError`, naming the file that is no good.

    A certificate without a SPIFFE id counts as a node's, for authorities that do not write any.
    """

    def __init__(self, cert_file: str, key_file: str, ca_file: str, federation: str) -> None:
        self._federation = federation
        self._incoming = _context(ssl.PROTOCOL_TLS_SERVER, cert_file, key_file, ca_file)
        self._from_clients = _context(ssl.PROTOCOL_TLS_SERVER, cert_file, key_file, ca_file)
        self._from_clients.verify_mode = ssl.CERT_OPTIONAL
        self._outgoing = _context(ssl.PROTOCOL_TLS_CLIENT, cert_file, key_file, ca_file)

    def incoming(self, plane: Plane) -> ssl.SSLContext:
        """See `Tls`."""
        return self._from_clients if plane == "routing" else self._incoming

    def outgoing(self) -> ssl.SSLContext:
        """See `Tls`."""
        return self._outgoing

    def identify(self, certificate: Mapping[str, object] | None) -> Identity | None:
        """See `Tls`."""
        return identify(certificate, self._federation)


def identify(certificate: Mapping[str, object] | None, federation: str) -> Identity | None:
    """Whose a checked certificate is; None for none. An empty `federation` is any. Raises `ForbiddenError`."""
    if not certificate:
        return None
    names = certificate.get("subjectAltName", ())
    uris = [value for kind, value in names if kind == "URI"]  # type: ignore[attr-defined]
    expires_ms = int(ssl.cert_time_to_seconds(str(certificate["notAfter"])) * MS_PER_S)
    if not uris:
        return Identity("a node", "admin", expires_ms, is_node=True)
    match uris[0].split("/") if len(uris) == 1 else ():
        case [scheme, "", domain, "node", node] if _is_ours(scheme, domain, federation) and node:
            return Identity(f"node {node}", "admin", expires_ms, is_node=True)
        case [scheme, "", domain, "client", name, role] if _is_ours(scheme, domain, federation) and name:
            for known in ROLES:
                if role == known:
                    return Identity(name, known, expires_ms)
    one = f"{SCHEME}://{federation or 'FEDERATION'}"
    raise ForbiddenError(
        f"expected a certificate with one name, {one}/node/ID or {one}/client/NAME/ROLE, got {', '.join(uris)[:200]}"
    )


def _is_ours(scheme: str, domain: str, federation: str) -> bool:
    return scheme == f"{SCHEME}:" and federation in ("", domain)


def client_context(ca_file: str, cert_file: str = "", key_file: str = "") -> ssl.SSLContext:
    """For a client: whom it believes, and, where it has no token, its own certificate. Raises `ConfigError`."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, cert_file, key_file or cert_file, ca_file)


def certificates_of(config: "NodeConfig") -> Certificates | None:
    """As configured; None where streams are not encrypted. Raises `ConfigError`."""
    security = config.security
    if not security.tls_enabled:
        return None
    if security.cert_file is None or security.key_file is None or security.ca_file is None:
        raise ConfigError("expected cert_file, key_file and ca_file, since tls_enabled is true", where="security")
    return Certificates(security.cert_file, security.key_file, security.ca_file, config.federation.name)


def _context(protocol: int, cert_file: str, key_file: str, ca_file: str) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # hubs move; it is the name in the certificate that counts
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        context.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"cannot take {ca_file} as certificates: {_reason(error)}", where="security.ca_file"
        ) from None
    if cert_file:
        try:
            context.load_cert_chain(cert_file, key_file, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            why = f"cannot take {cert_file} with the key {key_file}: {_reason(error)}"
            raise ConfigError(why, where="security.cert_file") from None
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted; a node has nobody to ask for its password")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"{error.reason or error}".lower().replace("_", " ")
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
