"""`mpreg token issue`: what it prints is a token of the configuration's, and what it is asked wrongly it says."""

import pytest

from mpreg_core.config.load import load_config
from mpreg_core.runtime.clock import wall_ms
from mpreg_core.security.tokens import LEEWAY_S, tokens_of

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    path = tmp_path / "hub.yaml"
    path.write_text(
        "security:\n"
        '  authentication: {method: jwt, secret_key: "${JWT_SECRET_KEY}", token_expiry: 120}\n'
        "  authorization: {admin_roles: [federation_admin]}\n"
    )
    return str(path)


@pytest.mark.parametrize(("role", "means"), [("viewer", "viewer"), ("federation_admin", "admin")])
def test_a_token_is_good_for_the_configured_time(cli, file, role, means):
    result = cli("token", "issue", "--role", role, "--subject", "ops", "--config", file)
    assert (result.exit_code, result.stderr) == (0, "")
    tokens = tokens_of(load_config(file))
    identity = tokens.identify(result.stdout.strip(), wall_ms())
    assert (identity.subject, identity.role) == ("ops", means)
    assert identity.expires_ms / 1000 == pytest.approx(wall_ms() / 1000 + 120 + LEEWAY_S, abs=5)


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("--role", "boss"), 2, "expected one of admin, federation_admin, operator, viewer, got 'boss'"),
        ((), 2, "--role"),
        (("--role", "admin", "--subject", "a\nb"), 2, "printable"),
        (("--role", "admin", "--expires-in", "0"), 2, "expires-in"),
        (("--role", "admin", "--set", "security.authentication.method=none"), 78, "expected security.authentication"),
        (("--role", "admin", "--set", "security.authentication.secret_key=abc"), 78, "at least 32 bytes"),
    ],
)
def test_what_is_asked_wrongly_is_said(cli, file, args, code, says):
    result = cli("token", "issue", "--config", file, *args)
    assert result.exit_code == code
    assert result.stdout == ""
    assert says in " ".join(result.stderr.split())


def test_without_a_configuration_there_is_no_secret(cli):
    result = cli("token", "issue", "--role", "admin")
    assert result.exit_code == 78
