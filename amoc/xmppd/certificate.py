"""The server's certificate: one that is given, or one that is made at the start.

The one that is made signs itself, so it is what clients have to trust, and its key is nowhere but
in this process.
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
"""How long a certificate is valid that is made here: longer than any run."""


def context(certificate: str, key: str = "") -> ssl.SSLContext:
    """What a server with this certificate needs.

    Args:
        certificate: A PEM file, with the chain after it.
        key: A PEM file; empty: it is in the same file.

    Raises:
        UsageError: They cannot be read, or do not belong together.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with os_error_as(
        UsageError, f"the certificate must be a PEM file with its key, got {certificate!r}"
    ):
        made.load_cert_chain(certificate, key or None)
    return made


def made_for(names: Iterable[str]) -> tuple[ssl.SSLContext, str]:
    """What a server needs, with a new certificate for `names`; and that certificate in PEM."""
    certificate, key = _make(list(dict.fromkeys(names)))
    # OpenSSL reads keys from files only; this one is readable for nobody else, and gone at once.
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate + key)
        file.flush()
        return context(file.name), certificate.decode()


def _make(names: list[str]) -> tuple[bytes, bytes]:
    # Imported here: it takes 50 ms, and most servers speak no TLS.
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
