"""Certificate authorities for tests, and the certificates that they sign."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """An authority, signed by itself or by the one above it."""

    def __init__(self, name: str, above: Authority | None = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = _signed(name, self, above or self, is_authority=True)
        self.above = above

    @property
    def pem(self) -> str:
        """Its certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def server(self, folder: Path, *names: str) -> tuple[ssl.SSLContext, str]:
        """What a server with these names needs, and its certificate in PEM."""
        leaf = _Leaf()
        certificate = _signed(names[0], leaf, self, names=names)
        chain = [certificate, *([self.certificate] if self.above else [])]
        text = "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in chain)
        file = folder / f"{certificate.serial_number}.pem"
        file.write_text(leaf.pem + text, encoding="ascii")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context, chain[0].public_bytes(serialization.Encoding.PEM).decode()


class _Leaf:
    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())

    @property
    def pem(self) -> str:
        form = serialization.PrivateFormat.PKCS8
        return self.key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def private_key() -> str:
    """A key that no task should hold, in PEM."""
    return _Leaf().pem


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _signed(
    name: str, whose: Authority | _Leaf, by: Authority, *, names: tuple[str, ...] = (), is_authority: bool = False
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    issuer = _name(name) if by is whose else by.certificate.subject
    made = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(whose.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(whose.key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key()), critical=False)
    )
    if names:
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False)
    return made.sign(by.key, hashes.SHA256())
