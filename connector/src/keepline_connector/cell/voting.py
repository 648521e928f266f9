"""Votes that this device gives. The poll's secret, which they are sealed with, stands in the device's store."""

from __future__ import annotations

import hashlib

from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import PollEncValue, PollVoteMessage

from keepline.domain.addresses import LID_SERVER, PHONE_SERVER
from keepline.domain.content.bodies import Vote
from keepline.domain.content.votes import seal_vote
from keepline_connector.cell.store import DeviceStore, OwnNumber, plain_address


def seal(vote: Vote, own: OwnNumber, store: DeviceStore, nonce: bytes) -> PollEncValue | None:
    """The vote as the poll's members can open it; None where the store has no secret of such a poll.

    We vote under that address of ours which is of the author's kind (whatsmeow, msgsecret.go `EncryptPollVote`).
    """
    poll = vote.message
    authors = {own.phone, own.lid} if poll.from_me else {poll.sender_phone, poll.sender_lid}
    for sender, secret in store.secrets_of(poll.wa_message_id):
        author = plain_address(sender)
        name, _, server = author.partition("@")
        if name not in authors:
            continue
        voter = f"{own.lid}@{LID_SERVER}" if server == LID_SERVER and own.lid else f"{own.phone}@{PHONE_SERVER}"
        hashes = [hashlib.sha256(option.encode()).digest() for option in vote.options]
        plain = PollVoteMessage(selectedOptions=hashes).SerializeToString()
        payload = seal_vote(secret, poll.wa_message_id, author, voter, plain, nonce)
        return PollEncValue(encPayload=payload, encIV=nonce)
    return None
