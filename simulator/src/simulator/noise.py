"""The Noise_XX_25519_AESGCM_SHA256 handshake that opens every connection, and the transport that follows it.

WhatsApp's details, as whatsmeow's socket/noisehandshake.go and handshake.go have them: the prologue is the 4-byte header, the
nonce is 8 zero bytes and a 32-bit counter that restarts with every key, and the server proves itself with a chain of two
certificates signed (XEdDSA) by a root key that is compiled into the client.
"""

from __future__ import annotations

import hashlib
import struct
import time
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from simulator import wire
from simulator.errors import ProtocolError
from simulator.signal import curve
from simulator.signal.curve import KeyPair
from simulator.signal.kdf import hkdf

# "WA", protocol version 6, dictionary version 3 (whatsmeow socket/constants.go).
HEADER = b"WA\x06\x03"
_PATTERN = b"Noise_XX_25519_AESGCM_SHA256\x00\x00\x00\x00"
_NONCE = struct.Struct(">8xI")
# Certificates carry whole seconds; WhatsApp's own live for months.
_CERTIFICATE_DAYS = 365
_INTERMEDIATE_SERIAL, _LEAF_SERIAL = 1, 2


class Cipher:
    """AES-GCM with a counting nonce, in one direction."""

    __slots__ = ("_aead", "_count")

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)
        self._count = 0

    def _nonce(self) -> bytes:
        nonce = _NONCE.pack(self._count)
        self._count += 1
        return nonce

    def encrypt(self, plain: bytes, associated: bytes | None = None) -> bytes:
        return self._aead.encrypt(self._nonce(), plain, associated)

    def decrypt(self, sealed: bytes, associated: bytes | None = None) -> bytes:
        try:
            return self._aead.decrypt(self._nonce(), sealed, associated)
        except (InvalidTag, ValueError):
            raise ProtocolError("bad_noise_frame", "A frame does not decrypt.") from None


class Handshake:
    """The symmetric state that both sides keep in step."""

    def __init__(self, header: bytes = HEADER) -> None:
        self._hash = self._chain = _PATTERN
        self._cipher = Cipher(_PATTERN)
        self.mix_hash(header)

    def mix_hash(self, data: bytes) -> None:
        self._hash = hashlib.sha256(self._hash + data).digest()

    def mix_agreement(self, private: bytes, public: bytes) -> None:
        try:
            secret = curve.agree(private, public)
        except ValueError:
            raise ProtocolError("bad_handshake", "A handshake key is not usable.") from None
        derived = hkdf(secret, self._chain, b"", 64)
        self._chain, key = derived[:32], derived[32:]
        self._cipher = Cipher(key)

    def encrypt(self, plain: bytes) -> bytes:
        sealed = self._cipher.encrypt(plain, self._hash)
        self.mix_hash(sealed)
        return sealed

    def decrypt(self, sealed: bytes) -> bytes:
        plain = self._cipher.decrypt(sealed, self._hash)
        self.mix_hash(sealed)
        return plain

    def split(self) -> tuple[Cipher, Cipher]:
        """The ciphers for client → server and server → client."""
        derived = hkdf(b"", self._chain, b"", 64)
        return Cipher(derived[:32]), Cipher(derived[32:])


@dataclass(frozen=True, slots=True)
class Identity:
    """What a server proves itself with: its static key and the certificate chain for it."""

    static: KeyPair
    chain: bytes

    @classmethod
    def issue(cls, root: KeyPair) -> Identity:
        now = int(time.time())
        static, intermediate = curve.generate(), curve.generate()
        # An hour of slack, so that a client with a slightly slow clock still trusts a fresh certificate.
        period = ((4, now - 3600), (5, now + _CERTIFICATE_DAYS * 86_400))
        details = wire.pack((1, _INTERMEDIATE_SERIAL), (2, 0), (3, intermediate.public), *period)
        leaf = wire.pack((1, _LEAF_SERIAL), (2, _INTERMEDIATE_SERIAL), (3, static.public), *period)
        signed_leaf = wire.pack((1, leaf), (2, curve.sign(intermediate.private, leaf)))
        signed_intermediate = wire.pack((1, details), (2, curve.sign(root.private, details)))
        return cls(static, wire.pack((1, signed_leaf), (2, signed_intermediate)))


@dataclass(frozen=True, slots=True)
class Opened:
    """A finished handshake, seen from the server."""

    client_static: bytes
    payload: bytes
    receive: Cipher
    send: Cipher


class ServerHandshake:
    """`hello` answers the client's first frame, `finish` takes its second."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._state = Handshake()
        self._ephemeral = curve.generate()

    def hello(self, frame: bytes) -> bytes:
        client = wire.parse(frame).message(2).blob(1)
        if len(client) != 32:
            raise ProtocolError("bad_handshake", "The client's hello holds no ephemeral key.")
        state, ephemeral, static = self._state, self._ephemeral, self._identity.static
        state.mix_hash(client)
        state.mix_hash(ephemeral.public)
        state.mix_agreement(ephemeral.private, client)
        sealed_static = state.encrypt(static.public)
        state.mix_agreement(static.private, client)
        sealed_chain = state.encrypt(self._identity.chain)
        return wire.pack((3, wire.pack((1, ephemeral.public), (2, sealed_static), (3, sealed_chain))))

    def finish(self, frame: bytes) -> Opened:
        fields = wire.parse(frame).message(4)
        static = self._state.decrypt(fields.blob(1))
        if len(static) != 32:
            raise ProtocolError("bad_handshake", "The client's static key has the wrong size.")
        self._state.mix_agreement(self._ephemeral.private, static)
        payload = self._state.decrypt(fields.blob(2))
        receive, send = self._state.split()
        return Opened(static, payload, receive, send)


class ClientHandshake:
    """The other side, for tests, benchmarks and fuzzing: `hello`, then `finish` with the server's answer."""

    def __init__(self, static: KeyPair, root: bytes) -> None:
        self._static = static
        self._root = root
        self._state = Handshake()
        self._ephemeral = curve.generate()

    def hello(self) -> bytes:
        self._state.mix_hash(self._ephemeral.public)
        return wire.pack((2, wire.pack((1, self._ephemeral.public))))

    def finish(self, answer: bytes, payload: bytes) -> tuple[bytes, Cipher, Cipher]:
        """The last frame to send, and the ciphers for sending and receiving."""
        fields, state = wire.parse(answer).message(3), self._state
        server = fields.blob(1)
        state.mix_hash(server)
        state.mix_agreement(self._ephemeral.private, server)
        server_static = state.decrypt(fields.blob(2))
        state.mix_agreement(self._ephemeral.private, server_static)
        check_chain(state.decrypt(fields.blob(3)), server_static, self._root)
        sealed_static = state.encrypt(self._static.public)
        state.mix_agreement(self._static.private, server)
        frame = wire.pack((4, wire.pack((1, sealed_static), (2, state.encrypt(payload)))))
        send, receive = state.split()
        return frame, send, receive


def check_chain(chain: bytes, static: bytes, root: bytes) -> None:
    """What a client checks of the server's certificates; raises `ProtocolError`."""
    leaf, intermediate = wire.parse(chain).message(1), wire.parse(chain).message(2)
    issuer = intermediate.message(1)
    if not curve.verify(root, intermediate.blob(1), intermediate.blob(2)) or issuer.number(2) != 0:
        raise ProtocolError("bad_certificate", "The intermediate certificate is not signed by the root.")
    if not curve.verify(issuer.blob(3), leaf.blob(1), leaf.blob(2)) or leaf.message(1).number(2) != issuer.number(1):
        raise ProtocolError("bad_certificate", "The leaf certificate is not signed by the intermediate.")
    if leaf.message(1).blob(3) != static:
        raise ProtocolError("bad_certificate", "The leaf certificate is for another key.")
