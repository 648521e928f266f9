"""TLS inside the process: a certificate authority made for the purpose, and a TLS server over plain byte buffers.

`ssl.SSLObject` over memory buffers is used instead of asyncio's TLS transport: the same socket first speaks CONNECT, faults
need hold of the raw bytes, and one write per loop tick for many frames is what makes the simulator fast.
"""

from __future__ import annotations

import datetime
import os
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# What whatsmeow connects to: the chat socket, media hosts, and names given in media_conn.
SERVER_NAMES = ("web.whatsapp.com", "*.whatsapp.com", "*.whatsapp.net", "whatsapp.net", "localhost")
_VALID_DAYS = 365
_READ_BYTES = 256 * 1024


def _private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    write_secret(
        path,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    return key


def write_secret(path: Path, data: bytes) -> None:
    """Writes a file that only its owner may read."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=_VALID_DAYS))
    )


def _still_valid(path: Path) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return False
    return certificate.not_valid_after_utc > datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=7)


def _issue(folder: Path) -> None:
    authority_key, authority_name = _private_key(folder / "ca.key"), _name("WhatsApp simulator (local tests only)")
    authority = (
        _builder(authority_name, authority_name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    key = _private_key(folder / "server.key")
    names = x509.SubjectAlternativeName([x509.DNSName(name) for name in SERVER_NAMES])
    certificate = (
        _builder(_name("web.whatsapp.com"), authority_name, key.public_key())
        .add_extension(names, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    (folder / "server.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    # Written last: its presence says that the set is complete.
    (folder / "ca.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))


def server_context(folder: Path) -> ssl.SSLContext:
    """A TLS context with a certificate from `ca.pem` in the folder; made there unless a valid one is there already.

    Keeping it lets a client process (Go reads SSL_CERT_FILE once) outlive a restart of the simulator.
    """
    if (
        not all(_still_valid(folder / name) for name in ("ca.pem", "server.pem"))
        or not (folder / "server.key").exists()
    ):
        _issue(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return context


class TlsServer:
    """One TLS session over byte strings: `receive` takes what came from the socket, `send` gives what goes to it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._ready = False
        # The client said goodbye (close_notify).
        self.ended = False

    def receive(self, data: bytes) -> bytes:
        """Decrypted bytes; `pending` may hold an answer of the TLS layer itself. Raises ssl.SSLError."""
        self._in.write(data)
        try:
            if not self._ready:
                self._tls.do_handshake()
                self._ready = True
            chunks: list[bytes] = []
            while True:
                chunk = self._tls.read(_READ_BYTES)
                if not chunk:
                    self.ended = True
                    return b"".join(chunks)
                chunks.append(chunk)
        except ssl.SSLWantReadError:
            return b"".join(chunks) if self._ready else b""
        except ssl.SSLZeroReturnError:
            self.ended = True
            return b"".join(chunks)

    def send(self, plain: bytes) -> bytes:
        self._tls.write(plain)
        return self._out.read()

    def pending(self) -> bytes:
        return self._out.read() if self._out.pending else b""
