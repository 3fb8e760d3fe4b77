"""`mpreg tls`: what it writes is an authority and certificates that nodes and clients take."""

import stat

import pytest

from mpreg_core.security.certificates import Certificates


@pytest.fixture
def folder(cli, tmp_path):
    result = cli("tls", "ca", "create", "--federation", "planet", "--dir", str(tmp_path))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.split() == [str(tmp_path / "ca.pem"), str(tmp_path / "ca.key")]
    return tmp_path


@pytest.mark.parametrize("who", [("--node", "hub-1"), ("--client", "hub-1", "--role", "viewer")])
def test_a_certificate_and_its_key_go_together_and_the_key_is_its_owners(cli, folder, who):
    out = folder / "Out"
    result = cli("tls", "cert", "create", *who, "--dir", str(folder), "--out", str(out))
    assert result.exit_code == 0, result.stderr
    cert, key = result.stdout.split()
    Certificates(cert, key, str(folder / "ca.pem"), "planet")
    assert [stat.S_IMODE((path).stat().st_mode) for path in (folder / "ca.key", out / "hub-1.key")] == [0o600] * 2


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        ((), 2, "expected --node ID or --client NAME"),
        (("--node", "a", "--client", "b"), 2, "expected --node ID or --client NAME"),
        (("--node", "a b"), 2, "letters, digits"),
        (("--node", "../a"), 2, "letters, digits"),
        (("--client", "a", "--role", "boss"), 2, "viewer, operator, admin"),
        (("--node", "a", "--days", "0"), 2, "days"),
        (("--node", "a", "--dir", "/nowhere"), 1, "cannot read the authority"),
    ],
)
def test_what_is_asked_wrongly_is_said(cli, folder, args, code, says):
    dirs = () if "--dir" in args else ("--dir", str(folder))
    result = cli("tls", "cert", "create", *args, *dirs, "--out", str(folder))
    assert result.exit_code == code
    assert result.stdout == ""
    assert says in " ".join(result.stderr.split())


def test_nothing_that_is_there_is_replaced(cli, folder):
    args = ("tls", "cert", "create", "--node", "a", "--dir", str(folder), "--out", str(folder))
    assert cli(*args).exit_code == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for again in (args, ("tls", "ca", "create", "--dir", str(folder))):
        result = cli(*again)
        assert result.exit_code == 1
        assert "file exists" in result.stderr
    (folder / "a.key").unlink()
    assert cli(*args).exit_code == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        k: v for k, v in before.items() if k != "a.key"
    }
