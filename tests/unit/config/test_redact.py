"""Secrets never leave a configuration."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpreg_core.config.load import read_config
from mpreg_core.config.redact import is_secret_key, redact

SECRETS = st.text(alphabet="abcdefghijkmnopqrstuvwxyz0123456789", min_size=1, max_size=30).map(lambda text: f"zQ{text}")
SECRET_KEYS = st.sampled_from(["password", "auth_token", "api_key", "tokens", "client_secret", "credentials", "SECRET"])
FAMILIES = st.sampled_from(["gossip", "membership", "consensus", "routing", "transport"])


def nested(secret: str) -> st.SearchStrategy[object]:
    return st.sampled_from([secret, [secret], {"x": secret}, [{"y": [secret]}], {"x": {"y": secret}}])


@given(data=st.data(), secret=SECRETS, raw=st.binary(min_size=32, max_size=32), key=SECRET_KEYS, family=FAMILIES)
def test_no_secret_is_ever_shown(data: st.DataObject, secret: str, raw: bytes, key: str, family: str) -> None:
    gossip_key = base64.b64encode(raw).decode()
    hidden = data.draw(nested(secret))
    config, _ = read_config(
        data={
            "node": {"id": "n", "tags": {key: secret}},
            "security": {"gossip_keys": [gossip_key, secret], "authentication": {"secret_key": secret}},
            "monitoring": {"tracing": {"endpoint": f"https://user:{secret}@collector:4318/"}},
            "tiers": {"local": {family: {"auth": {key: hidden}}}},
            family: {key: hidden, "servers": [f"nats://{secret}@host:4222"]},
        },
        env={},
    )
    for shown in (json.dumps(config.redacted()), repr(config), repr(config.security), repr(config.choice("gossip"))):
        assert secret not in shown
        assert gossip_key not in shown


@given(
    secret=SECRETS,
    wrong=st.sampled_from(["{secret_key: {a: SECRET}}", "{method: jwt, secret_key: [SECRET]}", "SECRET"]),
)
def test_a_problem_never_shows_a_secret(secret: str, wrong: str) -> None:
    authentication = f"security.authentication={wrong.replace('SECRET', secret)}"
    keys = f"security.gossip_keys=[{secret}, {{a: {secret}}}]"
    seeds = f"federation.seeds=nats://u:{secret}@h"
    _, problems = read_config(
        data={"node": {"id": "n"}}, env={"MPREG_SECRIT": secret}, sets=[authentication, keys, seeds]
    )
    assert problems
    assert all(secret not in str(problem) for problem in problems)


@pytest.mark.parametrize("key", ["key_file", "token_expiry", "secret_file", "monkey", "keyboard", "interval", "bypass"])
def test_a_key_that_only_resembles_a_secret_is_shown(key: str) -> None:
    assert not is_secret_key(key)


def test_what_is_not_secret_stays_as_it_is() -> None:
    data = {"a": [1, None, True, "x"], "password": None, "token": "", "keys": []}
    assert redact(data) == data


def test_the_redacted_configuration_has_the_shape_of_the_file() -> None:
    data = {"node": {"id": "n"}, "gossip": {"strategy": "s", "fanout": 3}, "tiers": {"local": {"membership": {"a": 1}}}}
    config, problems = read_config(data=data, env={})
    assert problems == []
    shown = config.redacted()
    assert shown["gossip"] == {"strategy": "s", "fanout": 3}
    assert shown["tiers"] == {"local": {"membership": {"a": 1}}}
    again, problems = read_config(data=shown, env={})
    assert problems == []
    assert again.redacted() == shown
