"""What the parts of the cluster trust: one authority, its certificates, tokens and kubeconfigs."""

import datetime
import ipaddress
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_VALID = datetime.timedelta(days=30)
_USAGES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)

IDENTITIES = {
    "admin": ("admin", ("system:masters",)),
    "controller-manager": ("system:kube-controller-manager", ()),
    "scheduler": ("system:kube-scheduler", ()),
    "proxy": ("system:kube-proxy", ()),
    "kubelet": ("system:node:node", ("system:nodes",)),
}
"""Who talks to the API server: name of the kubeconfig -> user and groups."""


@dataclass(frozen=True)
class Credentials:
    """The files that were written."""

    folder: Path

    @property
    def authority(self) -> Path:
        """The certificate that all others are signed with."""
        return self.folder / "ca.crt"

    @property
    def tokens(self) -> Path:
        """The API server's static tokens."""
        return self.folder / "tokens.csv"

    @property
    def service_account_key(self) -> Path:
        """Signs and verifies the tokens of service accounts."""
        return self.folder / "service-accounts.key"

    def certificate(self, name: str) -> tuple[Path, Path]:
        """Give a certificate's file and its key's."""
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"

    def kubeconfig(self, identity: str) -> Path:
        """Give the kubeconfig of one of IDENTITIES."""
        return self.folder / f"{identity}.kubeconfig"


def write(folder: Path, *, server: str, addresses: Sequence[str]) -> Credentials:
    """Make all credentials of a cluster.

    Args:
        folder: Receives the files; nobody else may read it.
        server: URL of the API server, for the kubeconfigs.
        addresses: IP addresses that the API server has.
    """
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")
    subjects = {"apiserver": "kube-apiserver", "front-proxy": "front-proxy-client"}
    made = _write_certificates(folder, subjects, names, addresses)
    _write_key(made.service_account_key, rsa.generate_private_key(65537, 2048))
    _write_tokens(made, server)
    return made


def serving_certificate(folder: Path, address: str) -> Credentials:
    """Make a certificate called `server` for a server at an IP address, and its authority."""
    return _write_certificates(folder, {"server": address}, (), (address,))


def _write_certificates(
    folder: Path, subjects: Mapping[str, str], names: Sequence[str], addresses: Sequence[str]
) -> Credentials:
    folder.mkdir(mode=0o700)
    made = Credentials(folder)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _authority(ca_key)
    made.authority.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    alternatives = [
        *map(x509.DNSName, names),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
    ]
    for name, subject in subjects.items():
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _signed(subject, key, ca, ca_key, alternatives)
        certificate_file, key_file = made.certificate(name)
        certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        _write_key(key_file, key)
    return made


def _write_tokens(made: Credentials, server: str) -> None:
    lines = []
    for identity, (user, groups) in IDENTITIES.items():
        token = secrets.token_hex(16)
        lines.append(f'{token},{user},{identity},"{",".join(groups)}"\n')
        made.kubeconfig(identity).write_text(
            kubeconfig(server=server, authority=made.authority, token=token)
        )
    made.tokens.write_text("".join(lines))


def kubeconfig(*, server: str, authority: Path, token: str) -> str:
    """Write a kubeconfig for a bearer of a token."""
    cluster = {"server": server, "certificate-authority": str(authority)}
    return _kubeconfig(cluster, token, "default")


def with_token(kubeconfig_file: Path, *, token: str, namespace: str) -> str:
    """Write a kubeconfig for the cluster of another one, for the bearer of a token."""
    known = yaml.safe_load(kubeconfig_file.read_text())
    contexts = {each["name"]: each["context"] for each in known["contexts"]}
    clusters = {each["name"]: each["cluster"] for each in known["clusters"]}
    return _kubeconfig(clusters[contexts[known["current-context"]]["cluster"]], token, namespace)


def _kubeconfig(cluster: Mapping[str, str], token: str, namespace: str) -> str:
    context = {"cluster": "tests", "user": "tests", "namespace": namespace}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "tests",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": "tests", "user": {"token": token}}],
            "contexts": [{"name": "tests", "context": context}],
        },
        indent=1,
    )


def _write_key(path: Path, key: _Key) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )


def _builder(subject: str, issuer: x509.Name, key: _Key) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A clock that is a little behind must not refuse it.
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _authority(key: _Key) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        _builder("food101-tests", _name("food101-tests"), key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def _signed(
    subject: str,
    key: _Key,
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    alternatives: Sequence[x509.GeneralName],
) -> x509.Certificate:
    return (
        _builder(subject, ca.subject, key)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
