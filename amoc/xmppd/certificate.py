"""The server's certificate: a given one, or one created at the start.

A created certificate is self-signed, so it is what clients have to trust. Its key exists only in
this process.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from amoc.base.errors import UsageError, os_error_as

if TYPE_CHECKING:
    from cryptography import x509

DAYS: Final = 30
"""Validity of a created certificate, in days: longer than any run."""


def context(certificate: str, key: str = "") -> ssl.SSLContext:
    """Return the TLS context of a server with this certificate.

    Args:
        certificate: A PEM file, followed by the chain.
        key: A PEM file; empty: it is in the certificate's file.

    Raises:
        UsageError: They cannot be read, or do not match.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with os_error_as(
        UsageError, f"the certificate must be a PEM file with its key, got {certificate!r}"
    ):
        made.load_cert_chain(certificate, key or None)
    return made


def created_for(names: Iterable[str]) -> tuple[ssl.SSLContext, str]:
    """Return a server's TLS context with a new certificate for `names`, and that as PEM."""
    certificate, key = _create(list(dict.fromkeys(names)))
    # OpenSSL reads keys from files only; this file is private and removed at once.
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate + key)
        file.flush()
        return context(file.name), certificate.decode()


def _create(names: list[str]) -> tuple[bytes, bytes]:
    # Imported here: it takes 50 ms, and most servers do not use TLS.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "amoc xmppd")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))  # clocks differ
        .not_valid_after(now + dt.timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName(map(_general_name, names)), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = serialization.PrivateFormat.PKCS8
    return (
        certificate.public_bytes(pem),
        key.private_bytes(pem, private, serialization.NoEncryption()),
    )


def _general_name(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode())
