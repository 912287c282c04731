"""The instance's own certificate authority and server certificate.

``<folder>/ca.pem`` is what clients trust; the keys beside it never leave the folder (mode 0600).
"""

import ipaddress
import ssl
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pce_local.atomic_files import write_atomically

CA_LIFE = timedelta(days=3650)
"""Clients pin the CA file: it must outlive them."""

SERVER_LIFE = timedelta(days=397)
"""Some clients refuse server certificates of more than 398 days."""

RENEW_BEFORE = timedelta(days=30)
"""A host that is started at least monthly never serves an expired certificate."""

_CLOCK_SLACK = timedelta(minutes=5)
"""Certificates begin a little in the past, for clients whose clock is behind."""


def ensure_certificates(folder: Path, names: Iterable[str], now: datetime) -> Path:
    """Make (or keep) the CA and the server certificate for these names; return the CA's file.

    The server certificate is made anew when it expires within 30 days or lacks one of the names.
    The CA is kept as long as it lives, because clients have copies of it.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    wanted = _alternative_names(names)
    ca_file, ca_key_file = folder / "ca.pem", folder / "ca.key"
    if not (ca_file.exists() and ca_key_file.exists()) or _expires_soon(ca_file, now):
        _make_ca(ca_file, ca_key_file, now)
        (folder / "server.pem").unlink(missing_ok=True)
    server_file = folder / "server.pem"
    if not server_file.exists() or _expires_soon(server_file, now) or _lacks(server_file, wanted):
        _make_server(server_file, ca_file, ca_key_file, wanted, now)
    return ca_file


def server_context(folder: Path) -> ssl.SSLContext:
    """The TLS settings to serve with: 1.2 or newer, HTTP/1.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(folder / "server.pem")
    return context


def _make_ca(ca_file: Path, key_file: Path, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "PCE local CA")])
    certificate = (
        _builder(name, name, key.public_key(), now, CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_atomically(key_file, _pem(key))
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    write_atomically(ca_file, pem, mode=0o644)


def _make_server(
    server_file: Path,
    ca_file: Path,
    ca_key_file: Path,
    names: frozenset[x509.GeneralName],
    now: datetime,
) -> None:
    """One file with certificate and key, so that a crash never leaves a pair that differs."""
    ca = x509.load_pem_x509_certificate(ca_file.read_bytes())
    ca_key = serialization.load_pem_private_key(ca_key_file.read_bytes(), password=None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)  # noqa: S101 - we made it
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "PCE local host")])
    ca_key_id = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        _builder(subject, ca.subject, key.public_key(), now, SERVER_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_key_id),
            critical=False,
        )
        .add_extension(x509.SubjectAlternativeName(sorted(names, key=repr)), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    write_atomically(server_file, certificate.public_bytes(serialization.Encoding.PEM) + _pem(key))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SLACK)
        .not_valid_after(now + life)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _alternative_names(names: Iterable[str]) -> frozenset[x509.GeneralName]:
    found: set[x509.GeneralName] = set()
    for name in names:
        try:
            found.add(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.add(x509.DNSName(name))
    return frozenset(found)


def _expires_soon(certificate_file: Path, now: datetime) -> bool:
    certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    return certificate.not_valid_after_utc - now < RENEW_BEFORE


def _lacks(certificate_file: Path, names: frozenset[x509.GeneralName]) -> bool:
    certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return not names <= set(extension.value)
