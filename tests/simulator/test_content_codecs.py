"""What content is made of, without a client: sender keys, sealed files, votes, messages, uploads."""

from __future__ import annotations

import base64
import hashlib
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import content, history, wire
from simulator.accounts import Companion, Keys
from simulator.errors import ProtocolError
from simulator.http11 import RequestReader
from simulator.jid import Jid
from simulator.log import TruthLog
from simulator.media.sealing import MediaError, open_sealed, seal
from simulator.media.service import MediaConnection
from simulator.media.store import MediaStore
from simulator.messages import polls, writing
from simulator.messages.reading import Key, read
from simulator.nodes import Node, Value
from simulator.signal.ratchet import DuplicateError, UndecryptableError
from simulator.signal.sender_keys import SenderKeys
from simulator.signal.store import SignalStore
from simulator.world import World

GROUP = "120363000000000001@g.us"


# Sender keys


def test_a_sender_key_opens_messages_once_and_in_any_order() -> None:
    sender, member = SenderKeys(), SenderKeys()
    key = sender.own(GROUP)
    member.process(GROUP, "ada", key.distribution())
    sealed = [key.encrypt(f"message {i}".encode()) for i in range(5)]
    for i in (0, 3, 1, 4, 2):
        assert member.decrypt(GROUP, "ada", sealed[i]) == f"message {i}".encode()
    for one in sealed:
        with pytest.raises(DuplicateError):
            member.decrypt(GROUP, "ada", one)


def test_a_sender_key_opens_nothing_from_before_it_was_given() -> None:
    sender, member = SenderKeys(), SenderKeys()
    early = sender.own(GROUP).encrypt(b"early")
    with pytest.raises(UndecryptableError, match="no sender key"):
        member.decrypt(GROUP, "ada", early)
    member.process(GROUP, "ada", sender.own(GROUP).distribution())
    with pytest.raises(DuplicateError):
        member.decrypt(GROUP, "ada", early)
    # The same key once more (whatsmeow sends it with every message) does not turn the chain back.
    late = sender.own(GROUP).encrypt(b"late")
    member.process(GROUP, "ada", sender.own(GROUP).distribution())
    assert member.decrypt(GROUP, "ada", late) == b"late"


def test_a_forged_group_message_is_refused_and_a_removal_changes_the_key() -> None:
    sender, member = SenderKeys(), SenderKeys()
    member.process(GROUP, "ada", sender.own(GROUP).distribution())
    sealed = bytearray(sender.own(GROUP).encrypt(b"true"))
    sealed[8] ^= 1
    with pytest.raises((UndecryptableError, ProtocolError)):
        member.decrypt(GROUP, "ada", bytes(sealed))
    assert sender.own(GROUP, 1).id != sender.own(GROUP, 2).id
    with pytest.raises(UndecryptableError, match="not one that this device"):
        member.decrypt(GROUP, "ada", sender.own(GROUP, 3).encrypt(b"new key"))


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_garbage_is_no_group_message(garbage: bytes) -> None:
    member = SenderKeys()
    member.process(GROUP, "ada", SenderKeys().own(GROUP).distribution())
    with pytest.raises((UndecryptableError, ProtocolError)):
        member.decrypt(GROUP, "ada", garbage)
    with pytest.raises(ProtocolError):
        member.process(GROUP, "bob", garbage)


# Files


@given(st.binary(max_size=5_000), st.sampled_from(["image", "video", "audio", "document", "sticker", "history"]))
@settings(max_examples=50, deadline=None)
def test_a_sealed_file_opens_with_its_own_key_and_kind_only(data: bytes, kind: str) -> None:
    sealed = seal(data, kind)
    assert open_sealed(sealed.blob, kind, sealed.key, sealed.file_sha256, sealed.blob_sha256) == data
    for blob, key, sha, blob_sha in (
        (sealed.blob + b"x", sealed.key, sealed.file_sha256, sealed.blob_sha256),
        (sealed.blob, os.urandom(32), sealed.file_sha256, sealed.blob_sha256),
        (sealed.blob, sealed.key, os.urandom(32), sealed.blob_sha256),
    ):
        with pytest.raises(MediaError):
            open_sealed(blob, kind, key, sha, blob_sha)
    with pytest.raises(MediaError, match="authenticator"):
        open_sealed(sealed.blob, "app-state", sealed.key, sealed.file_sha256, sealed.blob_sha256)


class FakeSocket:
    def __init__(self) -> None:
        self.written = b""

    def write(self, plain: bytes) -> None:
        self.written += plain

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing is open."""

    abort = close

    def owned_by(self, owner: object) -> None:
        """Nobody asks."""


def media_answer(store: MediaStore, request: bytes) -> tuple[int, bytes]:
    socket = FakeSocket()
    MediaConnection(store, TruthLog(), socket).received(request)
    head, _, body = socket.written.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


def test_uploads_need_a_token_and_the_right_hash() -> None:
    store, blob = MediaStore(), b"sealed bytes" * 100
    token = base64.urlsafe_b64encode(hashlib.sha256(blob).digest()).decode()
    auth = store.auth_for("14155550100")

    def upload(path: str, auth: str, body: bytes = blob) -> int:
        request = f"POST {path}?auth={auth}&token={token} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
        return media_answer(store, request.encode() + body)[0]

    assert upload(f"/mms/image/{token}", "14155550101.00") == 401
    assert upload(f"/mms/image/{token}", auth, b"other bytes") == 400
    assert upload(f"/image/{token}", auth) == 404
    assert upload(f"/mms/image/{token}", auth) == 200 and len(store) == 1
    path = store.put(blob, "image").direct_path
    right = base64.urlsafe_b64encode(hashlib.sha256(blob).digest()).decode()
    assert media_answer(store, f"GET {path}&hash={right} HTTP/1.1\r\n\r\n".encode()) == (200, blob)
    assert media_answer(store, f"GET {path} HTTP/1.1\r\nRange: bytes=3-9\r\n\r\n".encode()) == (206, blob[3:10])
    wrong = base64.urlsafe_b64encode(os.urandom(32)).decode()
    assert media_answer(store, f"GET {path}&hash={wrong} HTTP/1.1\r\n\r\n".encode())[0] == 404
    gone = base64.urlsafe_b64encode(path.partition("?")[0].encode()).decode().rstrip("=")
    assert media_answer(store, f"DELETE /mms/image/x?d_md={gone}&auth=none HTTP/1.1\r\n\r\n".encode())[0] == 401
    assert media_answer(store, f"DELETE /mms/image/x?d_md={gone}&auth={auth} HTTP/1.1\r\n\r\n".encode())[0] == 200
    assert media_answer(store, f"GET {path} HTTP/1.1\r\n\r\n".encode())[0] == 410
    assert media_answer(store, b"GET /v/image/none HTTP/1.1\r\n\r\n")[0] == 404
    assert media_answer(store, b"PATCH /v/image/none HTTP/1.1\r\n\r\n")[0] == 405


def test_the_oldest_files_go_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.media.store.MEDIA_STORE_BYTES_MAX", 250)
    store = MediaStore()
    paths = [store.put(os.urandom(100), "image").path for _ in range(3)]
    assert [store.get(path) is not None for path in paths] == [False, True, True]
    assert store.was_removed(paths[0]) and store.bytes_held == 200
    again = store.put(store.get(paths[2]) or b"", "image")
    assert again.path == paths[2] and store.bytes_held == 200


# Requests


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(1, 50))
@settings(max_examples=100, deadline=None)
def test_chunked_bodies_are_put_together_however_they_arrive(chunks: list[bytes], step: int) -> None:
    body = b"".join(chunks)
    sent = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    sent += b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\n\r\n"
    sent += b"GET /next HTTP/1.1\r\n\r\n"
    reader = RequestReader()
    found = [request for at in range(0, len(sent), step) for request in reader.feed(sent[at : at + step])]
    assert [(request.path, request.body) for request in found] == [("/x", body), ("/next", b"")]


@pytest.mark.parametrize(
    "head",
    [
        b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n",
        b"POST /x HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: 1001\r\n\r\n",
        b"POST /x HTTP/1.1\r\nX: " + b"x" * 20_000,
    ],
)
def test_requests_that_are_too_large_or_malformed_are_refused(head: bytes) -> None:
    with pytest.raises(ProtocolError):
        RequestReader(1_000).feed(head)


# Messages


def test_a_vote_is_opened_under_any_address_of_the_two() -> None:
    secret = os.urandom(32)
    payload, iv = polls.seal_vote(secret, "POLL", "1@lid", "2@lid", ["tea"])
    assert polls.open_vote(
        secret, "POLL", ["9@s.whatsapp.net", "1@lid"], ["8@s.whatsapp.net", "2@lid"], payload, iv
    ) == [polls.hash_option("tea")]
    assert polls.open_vote(secret, "OTHER", ["1@lid"], ["2@lid"], payload, iv) is None
    assert polls.open_vote(os.urandom(32), "POLL", ["1@lid"], ["2@lid"], payload, iv) is None


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_places_keep_their_figures(latitude: float, longitude: float) -> None:
    found = read(writing.location(latitude, longitude).message).fields
    assert (found["latitude"], found["longitude"]) == (latitude, longitude)


@given(st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_keep_their_sign(number: int) -> None:
    assert wire.parse(wire.pack((1, number))).signed(1) == number


def test_wrapped_messages_are_unwrapped_and_not_for_ever() -> None:
    message = writing.text("inside").message
    for field in (37, 40, 55):
        message = wire.pack((field, wire.pack((1, message))))
    found = read(message)
    assert (found.kind, found.text, found.fields) == ("text", "inside", {"view_once": True, "ephemeral": True})
    for _ in range(50):
        message = wire.pack((40, wire.pack((1, message))))
    assert read(message).kind == "other"


def test_what_a_stanza_says_about_a_message_fits_it() -> None:
    key = Key("1@lid", True, "ID", "")
    assert (writing.edit(key, "x").edit, writing.revoke(key).edit) == ("1", "7")
    assert writing.revoke(key._replace(from_me=False)).edit == "8"
    assert writing.reaction(key, "").edit == "7" and not writing.reaction(key, "x").edit
    assert all(
        draft.hidden for draft in (writing.edit(key, "x"), writing.reaction(key, "x"), writing.vote(key, b"", b""))
    )
    assert not writing.text("x").hidden
    assert read(content.with_sender_key(GROUP, b"key")).kind == "sender_key"
    both = read(content.with_sender_key(GROUP, b"key", writing.text("and text").message))
    assert (both.kind, both.text, both.sender_key) == ("text", "and text", (GROUP, b"key"))


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_message_or_a_protocol_error(garbage: bytes) -> None:
    try:
        read(garbage)
    except ProtocolError as problem:
        assert problem.code == "bad_protobuf"


# Numbers of fields that mean something in a message, its parts and its keys.
_numbers = st.sampled_from([*range(1, 19), 20, 26, 31, 35, 37, 40, 46, 49, 50, 51, 53, 55, 58, 63, 64, 66])
_leaves = st.integers(0, 2**40) | st.binary(max_size=40) | st.sampled_from(["1:x@lid", "@", "14155550100", GROUP, "ID"])
_messages = st.recursive(
    _leaves,
    lambda inside: st.lists(st.tuples(_numbers, inside), max_size=6).map(lambda pairs: wire.pack(*pairs)),
    max_leaves=20,
)


@given(st.lists(st.tuples(_numbers, _messages), max_size=5), st.booleans(), st.booleans())
@settings(max_examples=400, deadline=None)
def test_a_phone_survives_whatever_is_decrypted(pairs: list[tuple[int, wire.Packable]], own: bool, peer: bool) -> None:
    world = World(TruthLog())
    ada, bob = world.add_phone("14155550100", "Ada"), world.add_phone("14155550199", "Bob")
    sender = Companion(ada.account if own else bob.account, 1, b"", Keys(1, b"", 1, b"", b""), 0.0, world.log)
    target = bob.acts.poll("14155550100", "?", ["a", "b"])
    store = SignalStore()
    store.start_session(ada.lid, ada.take_bundle())
    message = wire.pack(*pairs, (46, wire.pack((1, wire.pack((3, target))), (2, "x"))))
    for place in (sender.lid, Jid("120363000000000001", "g.us")):
        sealed = store.encrypt(ada.lid, content.pad(message))
        attrs: dict[str, Value] = {"id": os.urandom(4).hex(), "from": place, "participant": sender.lid, "t": "1"}
        if peer:
            attrs["category"] = "peer"
        ada.deliver(Node("message", attrs, [Node("enc", {"v": "2", "type": sealed.kind}, sealed.data)]), sender)
    assert all(received.as_json() for received in ada.chats.all())
    history.bootstrap(world, ada)
    ada.send_receipts([received.id for received in ada.inbox], "read")
