"""Cloud KMS' Encrypt and Decrypt on loopback, as its reference describes them: versions, additional data, checksums both ways."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import google_crc32c
import grpc
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.cloud import kms_v1
from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceGrpcAsyncIOTransport

KEY_NAME = "projects/p/locations/europe-west1/keyRings/keepline/cryptoKeys/sessions"


class KmsServer:
    """One key with its versions. `trouble` is the status that the next calls end with; `damage` says what arrives damaged."""

    def __init__(self) -> None:
        self.versions: list[AESGCM] = []
        self.calls = 0
        self.trouble: list[grpc.StatusCode] = []
        self.damage: list[str] = []
        self.rotate()

    def rotate(self) -> None:
        self.versions.append(AESGCM(AESGCM.generate_key(256)))

    async def encrypt(self, request: Any, context: Any) -> Any:
        await self._check(request, context)
        damage = self.damage.pop(0) if self.damage else ""
        plaintext, aad = request.plaintext, request.additional_authenticated_data
        if _crc(plaintext) != request.plaintext_crc32c or _crc(aad) != request.additional_authenticated_data_crc32c:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The checksum did not match the data.")
        number = len(self.versions)
        nonce = os.urandom(12)
        ciphertext = bytes([number]) + nonce + self.versions[-1].encrypt(nonce, plaintext, aad)
        return kms_v1.EncryptResponse(
            name=f"{'projects/other' if damage == 'name' else KEY_NAME}/cryptoKeyVersions/{number}",
            ciphertext=ciphertext,
            ciphertext_crc32c=_crc(ciphertext) ^ (damage == "answer"),
            verified_plaintext_crc32c=damage != "request",
            verified_additional_authenticated_data_crc32c=damage != "context",
        )

    async def decrypt(self, request: Any, context: Any) -> Any:
        await self._check(request, context)
        damage = self.damage.pop(0) if self.damage else ""
        ciphertext, aad = request.ciphertext, request.additional_authenticated_data
        if _crc(ciphertext) != request.ciphertext_crc32c or _crc(aad) != request.additional_authenticated_data_crc32c:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The checksum did not match the data.")
        try:
            number = ciphertext[0]
            plaintext = dict(enumerate(self.versions, start=1))[number].decrypt(ciphertext[1:13], ciphertext[13:], aad)
        except (InvalidTag, LookupError, ValueError):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Decryption failed: verify that 'name' refers to it.")
        return kms_v1.DecryptResponse(
            plaintext=plaintext,
            plaintext_crc32c=_crc(plaintext) ^ (damage == "answer"),
            used_primary=number == len(self.versions),
        )

    async def _check(self, request: Any, context: Any) -> None:
        self.calls += 1
        if self.trouble:
            await context.abort(self.trouble.pop(0), "in the test")
        if request.name != KEY_NAME:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"CryptoKey {request.name} not found.")

    @asynccontextmanager
    async def client(self) -> AsyncIterator[kms_v1.KeyManagementServiceAsyncClient]:
        """Serve on a free port, and give the real client, connected."""
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    "google.cloud.kms.v1.KeyManagementService",
                    {
                        "Encrypt": _handler(self.encrypt, kms_v1.EncryptRequest, kms_v1.EncryptResponse),
                        "Decrypt": _handler(self.decrypt, kms_v1.DecryptRequest, kms_v1.DecryptResponse),
                    },
                ),
            )
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        transport = KeyManagementServiceGrpcAsyncIOTransport(channel=channel)
        try:
            yield kms_v1.KeyManagementServiceAsyncClient(transport=transport)
        finally:
            await channel.close()
            await server.stop(None)


def _handler(method: Any, request: Any, response: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        method, request_deserializer=request.deserialize, response_serializer=response.serialize
    )


def _crc(data: bytes) -> int:
    return int(google_crc32c.value(data))
