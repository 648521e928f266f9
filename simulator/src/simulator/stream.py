"""One chat connection below the level of nodes: WebSocket, WhatsApp's 3-byte frames, Noise, node codec."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from simulator import websocket
from simulator.errors import ProtocolError
from simulator.http11 import parse_head, response, split_head
from simulator.limits import HANDSHAKE_BYTES_MAX, HANDSHAKE_SECONDS_MAX, WEBSOCKET_MESSAGE_BYTES_MAX
from simulator.nodes import Node, decode, encode
from simulator.noise import HEADER, Cipher, Identity, Opened, ServerHandshake
from simulator.proxy import Socket

log = logging.getLogger("simulator")

CHAT_PATH = "/ws/chat"
_NORMAL_CLOSURE = (1000).to_bytes(2, "big")


class Stream:
    """A client's stream of nodes. The owner gives callbacks; `opened` gets the finished handshake and may send at once."""

    def __init__(
        self,
        socket: Socket,
        identity: Identity,
        opened: Callable[[Opened], None],
        on_node: Callable[[Node], None],
        on_lost: Callable[[], None],
        on_drained: Callable[[], None],
    ) -> None:
        self._socket = socket
        self._handshake: ServerHandshake | None = ServerHandshake(identity)
        self._opened, self._on_node, self._on_lost, self._on_drained = opened, on_node, on_lost, on_drained
        self._head: bytes | None = b""
        self._websocket = websocket.Receiver(HANDSHAKE_BYTES_MAX)
        self._frames = b""
        self._header_seen = self._hello_seen = False
        self._receive: Cipher | None = None
        self._send: Cipher | None = None
        self._deadline = asyncio.get_running_loop().call_later(HANDSHAKE_SECONDS_MAX, self.abort)

    # Handler, for the proxy connection

    def received(self, data: bytes) -> None:
        if self._head is not None:
            data = self._upgrade(data)
        for opcode, payload in self._websocket.feed(data) if data else ():
            if opcode == websocket.BINARY:
                self._unframe(payload)
            elif opcode == websocket.PING:
                self._socket.write(websocket.frame(payload, websocket.PONG))
            elif opcode == websocket.CLOSE:
                self._socket.write(websocket.frame(payload[:2], websocket.CLOSE))
                self._socket.close()

    def lost(self) -> None:
        self._deadline.cancel()
        self._on_lost()

    def drained(self) -> None:
        self._on_drained()

    # Downwards

    def send(self, node: Node) -> None:
        self.send_bytes(encode(node))

    def send_bytes(self, plain: bytes) -> None:
        """A frame with these bytes, whatever they are (tests of clients send malformed nodes)."""
        if self._send is None:
            return
        sealed = self._send.encrypt(plain)
        self._socket.write(websocket.frame(len(sealed).to_bytes(3, "big") + sealed))

    def writable(self) -> bool:
        return self._send is not None and self._socket.writable()

    def close(self) -> None:
        """A polite end: the WebSocket close frame, after what was sent."""
        self._socket.write(websocket.frame(_NORMAL_CLOSURE, websocket.CLOSE))
        self._socket.close()

    def abort(self) -> None:
        self._socket.abort()

    # Upwards

    def _upgrade(self, data: bytes) -> bytes:
        assert self._head is not None
        self._head += data
        split = split_head(self._head)
        if split is None:
            return b""
        request, rest = parse_head(split[0]), split[1]
        key = request.headers.get("sec-websocket-key", "")
        if request.method != "GET" or request.target.partition("?")[0] != CHAT_PATH or not key:
            self._socket.write(response(404, close=True))
            self._socket.close()
            return b""
        self._head = None
        self._socket.write(websocket.upgrade_response(key))
        return rest

    def _unframe(self, payload: bytes) -> None:
        data = self._frames + payload if self._frames else payload
        if self._receive is None and len(data) > HANDSHAKE_BYTES_MAX:
            raise ProtocolError("bad_handshake", "A handshake is larger than any real one.")
        if not self._header_seen:
            if len(data) < len(HEADER):
                self._frames = data
                return
            if data[: len(HEADER)] != HEADER:
                raise ProtocolError("bad_handshake", "The client speaks another version of the protocol.")
            self._header_seen = True
            data = data[len(HEADER) :]
        while len(data) >= 3:
            end = 3 + (data[0] << 16 | data[1] << 8 | data[2])
            if len(data) < end:
                break
            frame, data = data[3:end], data[end:]
            self._frame(frame)
        self._frames = data

    def _frame(self, frame: bytes) -> None:
        if self._receive is not None:
            self._on_node(decode(self._receive.decrypt(frame)))
        elif self._handshake is None:
            raise ProtocolError("bad_handshake", "A frame came outside of a handshake.")
        elif not self._hello_seen:
            self._hello_seen = True
            answer = self._handshake.hello(frame)
            self._socket.write(websocket.frame(len(answer).to_bytes(3, "big") + answer))
        else:
            result = self._handshake.finish(frame)
            self._handshake = None
            self._receive, self._send = result.receive, result.send
            self._websocket.bytes_max = WEBSOCKET_MESSAGE_BYTES_MAX
            self._deadline.cancel()
            self._opened(result)
