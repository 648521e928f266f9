"""Cloud Storage's JSON API on loopback, as far as files of messages use it: uploads at once and in pieces, downloads, deletions,
and links with V4 signatures, which it checks as their documentation says ("V4 signing process with your own program")."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import google_crc32c
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.cloud.storage import Client
from google.oauth2.service_account import Credentials

BUCKET = "keepline-files"
MAIL = "keepline@p.iam.gserviceaccount.com"


class StorageServer:
    """One bucket. `refusal` is the status that every call of the API ends with; `ahead` how far its clock is ahead."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[str, bytes]] = {}
        self.uploads: dict[str, tuple[str, str, bytearray]] = {}
        self.refusal: int | None = None
        self.ahead = timedelta()
        self.key = rsa.generate_private_key(65537, 2048)
        self.url = ""

    @contextmanager
    def serve(self) -> Iterator[None]:
        world = self

        class Handler(_Handler):
            storage = world

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def client(self, project: str) -> Client:
        """The real client, as a service account with a key of its own."""
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        credentials = Credentials.from_service_account_info(
            {"private_key": pem, "client_email": MAIL, "token_uri": f"{self.url}/token", "project_id": project},
            scopes=["https://www.googleapis.com/auth/devstorage.read_write"],
        )
        return Client(project=project, credentials=credentials, client_options={"api_endpoint": self.url})


class _Handler(BaseHTTPRequestHandler):
    storage: StorageServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        path, query, body = self._read()
        if path == "/token":
            return self._json({"access_token": "t", "expires_in": 3600, "token_type": "Bearer"})
        if self._refused():
            return None
        if query.get("uploadType") == "multipart":
            return self._multipart(body)
        described = json.loads(body)
        number = str(len(self.storage.uploads))
        self.storage.uploads[number] = (described["name"], self.headers["X-Upload-Content-Type"], bytearray())
        return self._answer(200, b"", {"Location": f"{self.storage.url}/pieces/{number}"})

    def do_PUT(self) -> None:
        path, _, body = self._read()
        name, kind, received = self.storage.uploads[path.rpartition("/")[2]]
        received += body
        if self.headers["Content-Range"].endswith(f"/{len(received)}"):
            self._keep(name, kind, bytes(received))
        else:
            self._answer(308, b"", {"Range": f"bytes=0-{len(received) - 1}"})

    def do_GET(self) -> None:
        path, query, _ = self._read()
        if "X-Goog-Signature" in query:
            return self._linked(path, query)
        if self._refused():
            return None
        found = self.storage.objects.get(_object(path))
        if found is None:
            return self._error(404)
        crc = base64.b64encode(google_crc32c.value(found[1]).to_bytes(4, "big")).decode()
        return self._answer(200, found[1], {"Content-Type": found[0], "X-Goog-Hash": f"crc32c={crc}"})

    def do_DELETE(self) -> None:
        path, _, _ = self._read()
        if self._refused():
            return
        if self.storage.objects.pop(_object(path), None) is None:
            self._error(404)
        else:
            self._answer(204, b"")

    def _read(self) -> tuple[str, dict[str, str], bytes]:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), body

    def _multipart(self, body: bytes) -> None:
        boundary = b"--" + re.findall(rb'boundary="?([^";]+)', self.headers["Content-Type"].encode())[0]
        described, content = body.split(boundary)[1:3]
        name = json.loads(described.partition(b"\r\n\r\n")[2])["name"]
        head, _, data = content.partition(b"\r\n\r\n")
        kind = re.findall(rb"content-type: (.*)", head, re.IGNORECASE)[0].strip().decode()
        self._keep(name, kind, data.removesuffix(b"\r\n"))

    def _keep(self, name: str, kind: str, data: bytes) -> None:
        self.storage.objects[name] = (kind, data)
        crc = base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()
        md5 = base64.b64encode(hashlib.md5(data).digest()).decode()
        self._json({"name": name, "bucket": BUCKET, "size": str(len(data)), "crc32c": crc, "md5Hash": md5})

    def _linked(self, path: str, query: dict[str, str]) -> None:
        signature = bytes.fromhex(query.pop("X-Goog-Signature"))
        shown = "&".join(f"{quote(name, safe='-_.~')}={quote(query[name], safe='-_.~')}" for name in sorted(query))
        asked = f"GET\n{path}\n{shown}\nhost:{self.headers['Host']}\n\nhost\nUNSIGNED-PAYLOAD"
        scope = query["X-Goog-Credential"].removeprefix(f"{MAIL}/")
        signed = f"GOOG4-RSA-SHA256\n{query['X-Goog-Date']}\n{scope}\n{hashlib.sha256(asked.encode()).hexdigest()}"
        try:
            self.storage.key.public_key().verify(signature, signed.encode(), padding.PKCS1v15(), SHA256())
        except InvalidSignature:
            return self._error(403)
        made = datetime.strptime(query["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if datetime.now(UTC) + self.storage.ahead > made + timedelta(seconds=int(query["X-Goog-Expires"])):
            return self._error(400)
        _, data = self.storage.objects[unquote(path.removeprefix(f"/{BUCKET}/"))]
        headers = {
            "Content-Type": query["response-content-type"],
            "Content-Disposition": query["response-content-disposition"],
        }
        return self._answer(200, data, headers)

    def _refused(self) -> bool:
        if self.storage.refusal is not None:
            self._error(self.storage.refusal)
        return self.storage.refusal is not None

    def _error(self, status: int) -> None:
        self._json({"error": {"code": status, "message": "in the test"}}, status)

    def _json(self, value: Any, status: int = 200) -> None:
        self._answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _object(path: str) -> str:
    return unquote(path.rpartition("/o/")[2])
