"""Contents as WhatsApp's `Message` (whatsmeow, proto/waE2E). Pure.

Every message carries the tag as its secret, which the library notes in its store before the stanza leaves, whatever the kind
(whatsmeow, send.go `SendMessage`), and gives to our other devices with their copy (`marshalMessage`).
"""

from __future__ import annotations

from neonize.proto.waCommon.WACommon_pb2 import MessageKey
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import (
    ContactMessage,
    ContactsArrayMessage,
    ContextInfo,
    ExtendedTextMessage,
    FutureProofMessage,
    LocationMessage,
    Message,
    MessageContextInfo,
    PollCreationMessage,
    PollEncValue,
    PollUpdateMessage,
    ProtocolMessage,
    ReactionMessage,
)

from keepline.domain.addresses import LID_SERVER, PHONE_SERVER, is_group
from keepline.domain.content.bodies import Contacts, Content, Edit, Location, Poll, Quote, Reaction, Revoke, Text, Vote
from keepline.domain.content.files import Media
from keepline.domain.content.references import MessageRef
from keepline_connector.cell.media_message import media_message
from keepline_connector.cell.store import OwnNumber
from keepline_connector.cell.uploading import Uploaded


def compose(
    content: Content,
    own: OwnNumber,
    tag: bytes,
    now_ms: int,
    sealed: PollEncValue | None = None,
    uploaded: Uploaded | None = None,
) -> Message:
    """The message that says this. `own` is this device's number, `now_ms` the time since 1970, `sealed` what a vote says.

    `uploaded` is the file of a body that has one.
    """
    if isinstance(content.body, Media):
        assert uploaded is not None, "a file is uploaded before it is named"
        message = media_message(content.body, uploaded, _context(content, own), now_ms)
    else:
        message = _said(content, own, now_ms, sealed)
    message.messageContextInfo.CopyFrom(MessageContextInfo(messageSecret=tag))
    return message


def _said(content: Content, own: OwnNumber, now_ms: int, sealed: PollEncValue | None) -> Message:
    context = _context(content, own)
    match content.body:
        case Text():
            return _text(content.body, context)
        case Location() as place:
            return Message(
                locationMessage=LocationMessage(
                    degreesLatitude=place.latitude,
                    degreesLongitude=place.longitude,
                    name=place.name or None,
                    address=place.address or None,
                    contextInfo=context,
                )
            )
        case Contacts():
            return _contacts(content.body, context)
        case Poll() as poll:
            # The first version: of the later ones the library does not say in the stanza that they are polls (send.go).
            return Message(
                pollCreationMessage=PollCreationMessage(
                    name=poll.question,
                    options=[PollCreationMessage.Option(optionName=option) for option in poll.options],
                    selectableOptionsCount=poll.selectable,
                    contextInfo=context,
                )
            )
        case Vote(message=target):
            vote = PollUpdateMessage(pollCreationMessageKey=_key(target), vote=sealed, senderTimestampMS=now_ms)
            return Message(pollUpdateMessage=vote)
        case Reaction(message=target, emoji=emoji):
            reaction = ReactionMessage(key=_key(target), text=emoji, senderTimestampMS=now_ms)
            return Message(reactionMessage=reaction)
        case Edit(message=target, text=text):
            edit = ProtocolMessage(
                key=_key(target),
                type=ProtocolMessage.MESSAGE_EDIT,
                editedMessage=Message(conversation=text),
                timestampMS=now_ms,
            )
            return Message(editedMessage=FutureProofMessage(message=Message(protocolMessage=edit)))
        case Revoke(message=target):
            return Message(protocolMessage=ProtocolMessage(key=_key(target), type=ProtocolMessage.REVOKE))
    raise ValueError(f"a {content.kind} is not sent as such")


def _text(body: Text, context: ContextInfo | None) -> Message:
    preview = body.preview
    if context is None and preview is None:
        return Message(conversation=body.text)
    extended = ExtendedTextMessage(text=body.text, contextInfo=context)
    if preview is not None:
        extended.MergeFrom(
            ExtendedTextMessage(
                matchedText=preview.url,
                title=preview.title,
                description=preview.description or None,
                previewType=ExtendedTextMessage.NONE,
            )
        )
    return Message(extendedTextMessage=extended)


def _contacts(body: Contacts, context: ContextInfo | None) -> Message:
    cards = [ContactMessage(displayName=card.name, vcard=card.vcard) for card in body.cards]
    if len(cards) == 1:
        if context is not None:
            cards[0].contextInfo.CopyFrom(context)
        return Message(contactMessage=cards[0])
    shown = f"{body.cards[0].name} and {len(cards) - 1} more"
    return Message(contactsArrayMessage=ContactsArrayMessage(displayName=shown, contacts=cards, contextInfo=context))


def _context(content: Content, own: OwnNumber) -> ContextInfo | None:
    """What a message says about others; None when it says nothing."""
    context = ContextInfo()
    if content.quote is not None:
        context.MergeFrom(_quoted(content.quote, own))
    if isinstance(content.body, Text):
        context.mentionedJID.extend(content.body.mentions)
    if content.forwarded:
        context.isForwarded = True
        context.forwardingScore = 1
    return context if context.ByteSize() else None


def _quoted(quote: Quote, own: OwnNumber) -> ContextInfo:
    target = quote.message
    return ContextInfo(
        stanzaID=target.wa_message_id,
        participant=_own_address(own) if target.from_me else target.sender,
        quotedMessage=Message(conversation=quote.text),
    )


def _key(target: MessageRef) -> MessageKey:
    """The name of a message, as whatsmeow builds it (send.go `BuildMessageKey`): its sender is named in groups only."""
    key = MessageKey(remoteJID=target.chat, fromMe=target.from_me, ID=target.wa_message_id)
    if is_group(target.chat) and not target.from_me and target.sender is not None:
        key.participant = target.sender
    return key


def _own_address(own: OwnNumber) -> str:
    return f"{own.lid}@{LID_SERVER}" if own.lid else f"{own.phone}@{PHONE_SERVER}"
