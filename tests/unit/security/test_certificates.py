"""Whose a certificate is stands in its one name; files that are none are told of by name."""

import ssl

import pytest

from mpreg_core.config.load import read_config
from mpreg_core.contracts.access import Identity
from mpreg_core.errors import ConfigError, ForbiddenError
from mpreg_core.security.certificates import Certificates, certificates_of, client_context, identify

ENDS = "Nov 30 12:00:00 2036 GMT"
ENDS_MS = 2_111_659_200_000


def certificate(*uris, **names):
    subject = [("URI", uri) for uri in uris] + [("DNS", name) for name in names.get("dns", ())]
    return {"subject": ((("commonName", "spiffe://mpreg/node/g"),),), "notAfter": ENDS, "subjectAltName": subject}


@pytest.mark.parametrize(
    ("shown", "who"),
    [
        (None, None),
        ({}, None),
        (certificate("spiffe://mpreg/node/hub-1"), Identity("node hub-1", "admin", ENDS_MS, is_node=True)),
        (certificate("spiffe://mpreg/client/bill/viewer"), Identity("bill", "viewer", ENDS_MS)),
        (certificate("spiffe://mpreg/client/ops/admin", dns=["x"]), Identity("ops", "admin", ENDS_MS)),
        (certificate(dns=["hub-1.example"]), Identity("a node", "admin", ENDS_MS, is_node=True)),
        ({"notAfter": ENDS}, Identity("a node", "admin", ENDS_MS, is_node=True)),
    ],
)
def test_the_one_name_in_a_certificate_says_who_that_is(shown, who):
    assert identify(shown, "mpreg") == who


@pytest.mark.parametrize(
    "uris",
    [
        ["spiffe://moon/node/hub-1"],
        ["https://mpreg/node/hub-1"],
        ["spiffe://mpreg/node/a", "spiffe://mpreg/node/b"],
        ["spiffe://mpreg/node/"],
        ["spiffe://mpreg/node/a/b"],
        ["spiffe://mpreg/client/bill"],
        ["spiffe://mpreg/client//viewer"],
        ["spiffe://mpreg/client/bill/root"],
        ["spiffe://mpreg/region/eu"],
        ["spiffe://mpreg"],
        ["nonsense"],
        ["spiffe://[::/node/a"],
    ],
)
def test_any_other_name_is_nobodys(uris):
    with pytest.raises(ForbiddenError):
        identify(certificate(*uris), "mpreg")


def test_a_client_that_does_not_say_which_federation_takes_any():
    assert identify(certificate("spiffe://moon/node/hub-1"), "").is_node


def configured(**security):
    config, problems = read_config(data={"security": security}, env={})
    assert not problems
    return certificates_of(config)


def test_a_node_wants_certificates_of_nodes_and_lets_clients_come_without(files):
    made = configured(**files.security())
    assert configured() is None
    assert made.incoming("gossip").verify_mode == ssl.CERT_REQUIRED
    assert made.incoming("routing").verify_mode == ssl.CERT_OPTIONAL
    for context in (made.incoming("gossip"), made.incoming("routing"), made.outgoing()):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_3
        assert context.verify_flags & ssl.VERIFY_X509_STRICT


@pytest.mark.parametrize(
    ("broken", "names", "says"),
    [
        ("ca", "security.ca_file", "no such file"),
        ("cert", "security.cert_file", "no such file"),
        ("other key", "security.cert_file", "key values mismatch"),
        ("text", "security.cert_file", "pem lib"),
        ("text ca", "security.ca_file", "no certificate or crl found"),
        ("locked key", "security.cert_file", "the key is encrypted"),
    ],
)
def test_a_file_that_is_no_good_is_named(files, tmp_path, broken, names, says):
    cert, key = files.node()
    ca, text = files.ca, tmp_path / "text.pem"
    text.write_text("hello")
    if broken == "locked key":
        key = str(locked(tmp_path))
    given = {
        "ca": (cert, key, "/no/ca.pem"),
        "cert": ("/no/hub.pem", key, ca),
        "other key": (cert, files.client("bill", "viewer")[1], ca),
        "text": (str(text), key, ca),
        "text ca": (cert, key, str(text)),
        "locked key": (cert, key, ca),
    }[broken]
    with pytest.raises(ConfigError, match=says) as refused:
        Certificates(*given, "mpreg")
    assert refused.value.where == names


def locked(folder):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    file = folder / "locked.key"
    file.write_bytes(key)
    return file


def test_a_client_may_have_no_certificate(files):
    assert client_context(files.ca).verify_mode == ssl.CERT_REQUIRED
    with pytest.raises(ConfigError):
        client_context("/no/ca.pem")
