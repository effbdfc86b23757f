"""Certificates for trials: one authority, and what it signs for nodes and clients.

An authority for production belongs to whoever runs the others of the house; `docs/security.md`
says what a certificate has to hold. Needs the `cryptography` package.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from raftd.tls.names import node_name

CA_DAYS = 3650
BACKDATED = datetime.timedelta(minutes=5)
"""A certificate counts from a little before it is made: the clocks of other machines differ."""

_USES = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]


class CertsProblem(Exception):
    """Nothing was written. One line: the file, the reason, the next step."""


class Authority:
    """Signs certificates. Its files are `ca.crt` and `ca.key` in one directory."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def make(cls, directory: Path, now: datetime.datetime, name: str = "raftd") -> Authority:
        """Make and keep a new one. Raises CertsProblem when the directory holds one."""
        key = ec.generate_private_key(ec.SECP256R1())
        # Two authorities of one name are taken for each other, and the error then names neither.
        subject = _name(f"{name} authority {secrets.token_hex(4)}")
        certificate = (
            _draft(subject, subject, key.public_key(), now, datetime.timedelta(days=CA_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_ca_usage(), critical=True)
            .add_extension(_signed_by(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write(directory, "ca", certificate, key)
        return cls(certificate, key)

    @classmethod
    def load(cls, directory: Path) -> Authority:
        """Raises CertsProblem."""
        try:
            certificate = x509.load_pem_x509_certificate((directory / "ca.crt").read_bytes())
            key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            why = getattr(error, "strerror", None) or "not an authority that raftd certs made"
            raise CertsProblem(f"{directory}: {why}; `raftd certs ca` makes one") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise CertsProblem(f"{directory / 'ca.key'}: not a key that raftd certs made")
        return cls(certificate, key)

    def node(
        self,
        directory: Path,
        node: str,
        hosts: Sequence[str],
        now: datetime.datetime,
        lifetime: datetime.timedelta,
    ) -> None:
        """Write `<node>.crt` and `.key`: for its peer port, client port and HTTP port.

        hosts: names and addresses at which clients reach it. Raises CertsProblem.
        """
        names = [x509.DNSName(node_name(node)), *_alternative(hosts)]
        self._sign(directory, node, names, now, lifetime)

    def client(
        self, directory: Path, user: str, now: datetime.datetime, lifetime: datetime.timedelta
    ) -> None:
        """Write `<user>.crt` and `.key`: the user's name is its CN. Raises CertsProblem."""
        self._sign(directory, user, [], now, lifetime)

    def revoke(self, directory: Path, which: Iterable[str], now: datetime.datetime) -> None:
        """Write `ca.crl` with these certificates (names of files without .crt). It counts 30 days.

        Raises CertsProblem.
        """
        draft = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now - BACKDATED)
            .next_update(now + datetime.timedelta(days=30))
            .add_extension(_signed_by(self._key.public_key()), critical=False)
            .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        )
        for name in which:
            path = directory / f"{name}.crt"
            try:
                serial = x509.load_pem_x509_certificate(path.read_bytes()).serial_number
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or "not a certificate"
                raise CertsProblem(f"{path}: {why}") from None
            draft = draft.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
            )
        signed = draft.sign(self._key, hashes.SHA256())
        (directory / "ca.crl").write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def _sign(
        self,
        directory: Path,
        name: str,
        alternative: list[x509.GeneralName],
        now: datetime.datetime,
        lifetime: datetime.timedelta,
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self._certificate.subject
        draft = _draft(_name(name), issuer, key.public_key(), now, lifetime)
        draft = draft.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        draft = draft.add_extension(x509.ExtendedKeyUsage(_USES), critical=False)
        draft = draft.add_extension(_signed_by(self._key.public_key()), critical=False)
        if alternative:
            draft = draft.add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        _write(directory, name, draft.sign(self._key, hashes.SHA256()), key)


def _draft(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    lifetime: datetime.timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now - BACKDATED, now + lifetime - BACKDATED))
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _signed_by(key: ec.EllipticCurvePublicKey) -> x509.AuthorityKeyIdentifier:
    """Programs on Python 3.13 and later refuse by default a certificate that does not say it."""
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _ca_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(hosts: Sequence[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host.strip("[]"))))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _write(
    directory: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    """The key first, for its owner only. Nothing that is there is replaced."""
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _make(directory / f"{name}.key", private, 0o600)
        _make(directory / f"{name}.crt", certificate.public_bytes(pem), 0o644)
    except FileExistsError as error:
        raise CertsProblem(
            f"{error.filename}: is there already; remove it, or choose another directory"
        ) from None
    except OSError as error:
        raise CertsProblem(f"{error.filename}: {error.strerror}") from None


def _make(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
