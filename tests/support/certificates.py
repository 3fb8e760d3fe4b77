"""A federation's certificates, written once a session: `files.node("hub")`, `files.client("bill", "viewer")`."""

from datetime import UTC, datetime

import pytest

from mpreg_core.security.authority import create_authority, issue, write
from mpreg_core.security.certificates import client_uri, node_uri


class Files:
    """PEM files of one authority below a folder."""

    def __init__(self, folder, federation="mpreg"):
        self.folder, self.federation = folder, federation
        folder.mkdir()
        self._now = datetime.now(UTC)
        self._authority = create_authority(federation, self._now, 30)
        self.ca = str(folder / "ca.pem")
        write(self._authority.certificate, self._authority.key, folder / "ca.pem", folder / "ca.key")

    def named(self, file, uri, days=30):
        """Certificate and key for a name."""
        cert, key = self.folder / f"{file}.pem", self.folder / f"{file}.key"
        if not cert.exists():
            write(*issue(self._authority, uri, self._now, days), cert, key)
        return str(cert), str(key)

    def node(self, node="hub"):
        return self.named(node, node_uri(self.federation, node))

    def client(self, name, role):
        return self.named(f"{name}-{role}", client_uri(self.federation, name, role))

    def security(self, node="hub", **more):
        """The section `security` of a node."""
        cert, key = self.node(node)
        return {"tls_enabled": True, "cert_file": cert, "key_file": key, "ca_file": self.ca, **more}


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    return Files(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="session")
def others(tmp_path_factory):
    """Another authority that uses the same names."""
    return Files(tmp_path_factory.mktemp("tls") / "others")
