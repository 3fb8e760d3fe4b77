"""`mpreg tls`: an authority for a federation, and the certificates of its nodes and clients. No node is asked."""

from pathlib import Path
from typing import Annotated

import typer

from mpreg_core.cli.exits import fail
from mpreg_core.cli.options import VerbCommand, group

app = group("Make a federation's certificates: an authority, then one for each node and client. No node is asked.")
ca = group("Make an authority.")
cert = group("Make certificates.")
app.add_typer(ca, name="ca")
app.add_typer(cert, name="cert")

DAYS_MAX = 36_500
CA_CERT, CA_KEY = "ca.pem", "ca.key"

DirOption = Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where ca.pem and ca.key are.")]
OutOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to write NAME.pem and NAME.key.")]


@ca.callback()
@cert.callback()
def main() -> None:
    """Here so that `create` stays a command of its own."""


@ca.command("create", cls=VerbCommand)
def create_ca(
    federation: Annotated[str, typer.Option(metavar="NAME", help="As in federation.name.")] = "mpreg",
    directory: DirOption = Path("."),
    days: Annotated[int, typer.Option(metavar="DAYS", min=1, max=DAYS_MAX, help="How long it is good for.")] = 3650,
) -> None:
    """Write ca.pem, for every node and client, and ca.key, for nobody but who makes certificates."""
    from datetime import UTC, datetime

    from mpreg_core.security.authority import create_authority, write

    _check_name(federation, "--federation")
    authority = create_authority(federation, datetime.now(UTC), days)
    cert_file, key_file = directory / CA_CERT, directory / CA_KEY
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write(authority.certificate, authority.key, cert_file, key_file)
    except OSError as error:
        fail(f"cannot write {error.filename}: {(error.strerror or '').lower()}")
    print(f"{cert_file}\n{key_file}")


@cert.command("create", cls=VerbCommand)
def create_cert(
    node: Annotated[str | None, typer.Option(metavar="ID", help="For a node.", show_default=False)] = None,
    client: Annotated[str | None, typer.Option(metavar="NAME", help="For a client.", show_default=False)] = None,
    role: Annotated[str, typer.Option(metavar="ROLE", help="A client's: viewer, operator or admin.")] = "operator",
    directory: DirOption = Path("."),
    out: OutOption = Path("."),
    days: Annotated[int, typer.Option(metavar="DAYS", min=1, max=DAYS_MAX, help="How long it is good for.")] = 90,
) -> None:
    """Write a certificate and its key for one node or client, signed by the authority."""
    from datetime import UTC, datetime

    from mpreg_core.contracts.access import ROLES
    from mpreg_core.errors import ConfigError
    from mpreg_core.security.authority import issue, load_authority, write
    from mpreg_core.security.certificates import client_uri, node_uri

    name = node or client
    if name is None or (node and client):
        raise typer.BadParameter("expected --node ID or --client NAME")
    _check_name(name, "--node" if node else "--client")
    if role not in ROLES:
        raise typer.BadParameter(f"expected one of {', '.join(ROLES)}, got {role!r}", param_hint="--role")
    try:
        authority = load_authority(directory / CA_CERT, directory / CA_KEY)
    except ConfigError as error:
        fail(str(error))
    federation = authority.federation
    uri = node_uri(federation, name) if node else client_uri(federation, name, role)
    cert_file, key_file = out / f"{name}.pem", out / f"{name}.key"
    try:
        out.mkdir(parents=True, exist_ok=True)
        write(*issue(authority, uri, datetime.now(UTC), days), cert_file, key_file)
    except OSError as error:
        fail(f"cannot write {error.filename}: {(error.strerror or '').lower()}")
    print(f"{cert_file}\n{key_file}")


def _check_name(name: str, option: str) -> None:
    from mpreg_core.ids import is_id

    if not is_id(name):
        raise typer.BadParameter(
            f"expected 1 to 63 letters, digits, '.', '_' or '-', got {name[:80]!r}", param_hint=option
        )
