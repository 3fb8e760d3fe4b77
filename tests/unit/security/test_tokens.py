"""Bearer tokens: only those that the secret's owner signed, for this federation, in their time, give a role."""

import base64
import json

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from mpreg_core.config.load import read_config
from mpreg_core.contracts.access import Identity
from mpreg_core.errors import ForbiddenError, UnauthenticatedError
from mpreg_core.security.tokens import LEEWAY_S, REMEMBERED_MAX, TOKEN_BYTES_MAX, Tokens, tokens_of

SECRET = "0123456789abcdef0123456789abcdef"
NOW = 1_800_000_000
GOOD = {"iss": "issuer", "sub": "billing", "role": "operator", "exp": NOW + 60}


@pytest.fixture
def tokens():
    return Tokens(SECRET, "issuer", "planet", {"federation_admin": "admin"})


def signed(secret=SECRET, alg="HS256", head=(), **claims):
    claims = {key: value for key, value in (GOOD | claims).items() if value is not None}
    return jwt.encode({"alg": alg, **dict(head)}, claims, OctKey.import_key(secret), algorithms=[alg])


def part(data):
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


def test_what_was_issued_is_known_again(tokens):
    token = tokens.issue("ops", "federation_admin", NOW, 60)
    assert tokens.identify(token, NOW * 1000) == Identity("ops", "admin", (NOW + 60 + LEEWAY_S) * 1000)


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"role": "viewer"}, "viewer"),
        ({"role": "federation_admin"}, "admin"),
        ({"roles": ["viewer", "unheard of", "operator"]}, "operator"),
        ({"aud": "planet"}, "operator"),
        ({"aud": ["moon", "planet"]}, "operator"),
        ({"exp": NOW + 60.5}, "operator"),
        ({"exp": NOW - LEEWAY_S + 1}, "operator"),
        ({"nbf": NOW + LEEWAY_S - 1, "iat": NOW + LEEWAY_S - 1}, "operator"),
    ],
)
def test_a_token_gives_its_strongest_role(tokens, claims, role):
    assert tokens.identify(signed(**claims), NOW * 1000).role == role


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("", "got none"),
        ("a.b", "JSON Web Token"),
        ("a.b.c.d.e", "JSON Web Token"),
        ("é.a.b", "JSON Web Token"),
        ("a" * TOKEN_BYTES_MAX + ".b.c", "JSON Web Token"),
        ("..", "signed"),
        ("a.b.c", "signed"),
        (f"{part([1])}.{part(3)}.x", "signed"),
        (f"{part({'alg': 'none'})}.{part(GOOD)}.", "signed"),
        (f"{part({'alg': 'HS256'})}.{part(GOOD)}.", "signed"),
        (signed()[:-4] + "AAAA", "signed"),
        (signed(secret="another secret of thirty-two bytes"), "signed"),
        (signed(alg="HS512"), "HS512"),
        (signed(iss="somebody"), "iss"),
        (signed(iss=None), "iss"),
        (signed(sub=None), "sub"),
        (signed(exp=None), "exp"),
        (signed(aud="moon"), "aud"),
        (signed(exp=NOW - LEEWAY_S), "expired"),
        (signed(exp="tomorrow"), "exp"),
        (signed(exp=1e400), "exp"),
        (signed(nbf=NOW + LEEWAY_S + 1), "not yet valid"),
        (signed(iat=NOW + LEEWAY_S + 1), "future"),
    ],
)
def test_any_other_token_is_nobodys(tokens, token, why):
    with pytest.raises(UnauthenticatedError, match=why):
        tokens.identify(token, NOW * 1000)


@pytest.mark.parametrize("role", [{"role": "boss"}, {"role": None}, {"role": 3}, {"roles": [[], {}]}])
def test_a_token_that_gives_no_role_is_forbidden(tokens, role):
    with pytest.raises(ForbiddenError, match="federation_admin"):
        tokens.identify(signed(**role), NOW * 1000)


def test_a_known_token_expires_too_and_what_is_remembered_is_bounded(tokens):
    token = signed()
    tokens.identify(token, NOW * 1000)
    with pytest.raises(UnauthenticatedError, match="expired"):
        tokens.identify(token, (NOW + 60 + LEEWAY_S) * 1000)
    for number in range(REMEMBERED_MAX + 10):
        tokens.identify(signed(sub=f"s{number}"), NOW * 1000)
    assert len(tokens._known) <= REMEMBERED_MAX


def configured(**security):
    config, problems = read_config(data={"security": security}, env={})
    assert not problems
    return tokens_of(config)


def test_the_configuration_says_who_signs_and_what_roles_are_called():
    jwt_method = {"method": "jwt", "secret_key": SECRET, "issuer": "issuer"}
    assert configured() is None
    assert configured(authentication={"method": "none"}) is None
    tokens = configured(authentication=jwt_method, authorization={"viewer_roles": ["reader"]})
    assert tokens.identify(signed(role="reader"), NOW * 1000).role == "viewer"
    assert tokens.names == ["admin", "operator", "reader", "viewer"]
    everyone = configured(authentication=jwt_method, authorization={"rbac_enabled": False})
    assert everyone.identify(signed(role=None), NOW * 1000).role == "admin"


def test_a_role_may_do_what_the_weaker_ones_may():
    operator = Identity("billing", "operator")
    operator.require("viewer", "reading")
    operator.require("operator", "writing")
    with pytest.raises(ForbiddenError, match="stopping takes the role admin, and 'billing' is operator"):
        operator.require("admin", "stopping")
