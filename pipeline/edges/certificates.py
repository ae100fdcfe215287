"""A certificate authority of a city's own, and the certificate by which its broker is known."""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pipeline.edges.files import replace_file
from pipeline.wire.errors import InputError

AUTHORITY_DAYS = 3650
SERVER_DAYS = 730
RENEW_DAYS = 60
SKEW = timedelta(days=1)  # A device's clock may be behind when it first connects.
SECRET, PUBLIC = 0o600, 0o644


def ensure_authority(certificate: Path, key: Path, name: str) -> None:
    """Make a certificate authority, unless it is there.

    Raises:
        InputError: It cannot be written.
    """
    if certificate.exists() and key.exists():
        return
    secret = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    usage = _usage(signs_certificates=True)
    made = (
        _begin(subject, subject, secret.public_key(), AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(secret.public_key()), critical=False)
        .sign(secret, hashes.SHA256())
    )
    # A crash between the two leaves a key that has signed nothing; the next start makes both.
    replace_file(key, _pem(secret), SECRET)
    replace_file(certificate, made.public_bytes(serialization.Encoding.PEM), PUBLIC)


def ensure_server(authority: tuple[Path, Path], server: Path, hosts: Sequence[str]) -> bool:
    """Make a server's certificate, unless there is one for these hosts that is good for a while.

    Args:
        authority: The authority's certificate and key.
        server: The server's key and certificate, one behind the other: they change together.
        hosts: Names and addresses by which clients reach the server.

    Returns:
        Whether a new one was made, of which the server has to be told.

    Raises:
        InputError: A file cannot be read or written.
    """
    if server.exists():
        known = hosts_of(server)
        if set(hosts) <= set(known) and days_left(server) > RENEW_DAYS:
            return False
        hosts = list(dict.fromkeys((*known, *hosts)))
    issuer = _load(authority[0])
    issuer_key = serialization.load_pem_private_key(_read(authority[1]), None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey), "the authority's key is one of ours"
    secret = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
    made = (
        _begin(subject, issuer.subject, secret.public_key(), SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
        .sign(issuer_key, hashes.SHA256())
    )
    replace_file(server, _pem(secret) + made.public_bytes(serialization.Encoding.PEM), SECRET)
    return True


def days_left(certificate: Path) -> float:
    """Return for how many days a certificate is still good.

    Raises:
        InputError: It cannot be read.
    """
    return (_load(certificate).not_valid_after_utc - datetime.now(UTC)) / timedelta(days=1)


def hosts_of(certificate: Path) -> Sequence[str]:
    """Return the names and addresses that a certificate is for.

    Raises:
        InputError: It cannot be read.
    """
    found = _load(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    names = found.get_values_for_type(x509.DNSName)
    return [*names, *map(str, found.get_values_for_type(x509.IPAddress))]


def _begin(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return x509.CertificateBuilder(
        issuer, subject, public, x509.random_serial_number(), now - SKEW, now + timedelta(days=days)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as error:
        problem = f"{host!r} is no name of a host"
        raise InputError("--host", problem, "Write it in ASCII, as DNS has it.") from error


def _pem(secret: ec.EllipticCurvePrivateKey) -> bytes:
    encodings = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return secret.private_bytes(*encodings, serialization.NoEncryption())


def _load(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(_read(path))
    except ValueError as error:
        remedy = "Restore it, or remove it and run `cityproof init` again."
        raise InputError(str(path), f"it holds no certificate: {error}", remedy) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}", "Run `cityproof init`.") from error
