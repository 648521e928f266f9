"""Every code that an error of the API can have, with words as they can stand beside it: what the API's description shows.

The words are said where an error is raised. tests/functions/test_error_codes.py holds this table to those places: a code that is
not here, is of another category, or can never be said like this fails there.
"""

from __future__ import annotations

from typing import NamedTuple

from keepline.domain.errors import (
    Forbidden,
    Gone,
    InvalidInput,
    KeeplineError,
    LimitReached,
    NotFound,
    NotReady,
    StateConflict,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from keepline_functions.errors import HTTP_ERRORS, status_of


class ErrorCode(NamedTuple):
    """A code with a sentence and a hint that it can come with."""

    code: str
    message: str
    hint: str


_BY_CATEGORY: dict[type[KeeplineError], tuple[ErrorCode, ...]] = {
    InvalidInput: (
        ErrorCode(
            "bad_channel_url",
            "The channel's address cannot be used.",
            "Write it as Apprise does, like mailtos://name:password@example.com?to=me@example.com or slack://…",
        ),
        ErrorCode(
            "channel_url_not_allowed",
            "The channel's address is a private one, and this installation sends nothing there.",
            "Use a public address; or its operator allows private ones with KEEPLINE_PRIVATE_ADDRESSES.",
        ),
        ErrorCode(
            "bad_quiet_hours",
            "These are no quiet hours.",
            "Give begins and ends like 22:00, two different times, and a time_zone like Europe/Bucharest.",
        ),
        ErrorCode(
            "bad_threshold",
            "'queue_age_s' cannot be set so.",
            "The thresholds are: disconnects_per_hour from 1 to 1000; queue_age_s from 30 to 86400.",
        ),
        ErrorCode(
            "bad_media", "media has neither `url` nor `media_id`, or both.", "Name the file in one of the two ways."
        ),
        ErrorCode("empty_media", "The file is empty.", "Send one that has something in it."),
        ErrorCode(
            "voice_needs_opus",
            "A voice note is Opus in Ogg, and this file is audio/mpeg.",
            "Convert it (ffmpeg -i FILE -c:a libopus -ac 1 voice.ogg), or send it as audio without `voice`.",
        ),
        ErrorCode(
            "unsupported_media_kind",
            "WhatsApp takes no image/tiff as image.",
            "It takes: image/jpeg, image/png. Convert it, or send it as a document.",
        ),
        ErrorCode(
            "bad_url",
            "The URL of the file cannot be used.",
            "Give an http or https address without a name and a password, of 2048 ASCII characters at most.",
        ),
        ErrorCode(
            "url_not_allowed",
            "The URL leads to a private address, and those are not fetched from.",
            "Use an address on the internet, or upload the file.",
        ),
        ErrorCode(
            "bad_contact",
            "contacts.0 has neither `phones` nor `vcard`, or both.",
            "Give the phone numbers, or a whole vCard.",
        ),
        ErrorCode(
            "bad_event",
            "There is no event of one of these names, or no name at all.",
            "The events are: call.received, group.join, group.leave, group.participants, group.update, message,"
            " message.ack, message.any, message.edited, message.reaction, message.revoked, session.status; * stands for all.",
        ),
        ErrorCode(
            "bad_expires_at",
            "The message would expire before it could be sent.",
            "Choose an expires_at that is later than now and than send_at, or leave it out.",
        ),
        ErrorCode("bad_field", "The field 'limit' is not right.", "Input should be less than or equal to 100."),
        ErrorCode(
            "bad_group",
            "'me' is not a group.",
            "Use the chat of a group, like 120363000000000000@g.us; GET /api/groups lists them.",
        ),
        ErrorCode(
            "bad_header",
            "One of the headers cannot be sent.",
            "Up to 10, each name once, values of up to 1024 printable ASCII characters; not those that a"
            " delivery has of its own.",
        ),
        ErrorCode(
            "bad_idempotency_key",
            "An Idempotency-Key is 1 to 255 printable characters.",
            "Use a UUID of your own for each message you mean to send.",
        ),
        ErrorCode("bad_date", "That is not a day.", "Write it like 2026-11-21."),
        ErrorCode("bad_json", "The body is not a JSON object.", "Send an object like {…}."),
        ErrorCode("bad_location", "location.latitude is not between -90 and 90.", "Give degrees, like 48.2."),
        ErrorCode(
            "bad_number",
            "'12' is not a phone number with its country code or a WhatsApp id.",
            "Write the number as +14155550123, as digits with the country code, or as 14155550123@s.whatsapp.net.",
        ),
        ErrorCode("bad_poll", "poll.options has 1 entries.", "A poll has 2 to 12 options."),
        ErrorCode(
            "bad_preview",
            "preview.url does not stand in the text.",
            "WhatsApp shows a preview for a link of the text: write the same link there.",
        ),
        ErrorCode(
            "bad_proxy",
            "The proxy's address cannot be used.",
            "Write it like socks5://name:password@host:port or http://host:port, in ASCII; what is special in a"
            " name or a password is percent-encoded.",
        ),
        ErrorCode("bad_pace", "interval_s is not 3, 5 or 10.", "Choose one of the three."),
        ErrorCode(
            "bad_reaction", "reaction.emoji is not one emoji.", "Give one emoji, or an empty text to take it back."
        ),
        ErrorCode("bad_send_at", "send_at is more than 90 days ahead.", "Choose a time within 90 days."),
        ErrorCode(
            "bad_session_id",
            "A session id is 1 to 40 characters: small letters, digits and inner hyphens.",
            "Choose an id like 'support' or 'shop-2', or leave it out to get one made.",
        ),
        ErrorCode(
            "bad_subject",
            "A group's subject has 1 to 100 characters on one line.",
            "Write a short name that can be seen.",
        ),
        ErrorCode("bad_target", "An answer to HEAD has no body to look for a text in.", "Use GET."),
        ErrorCode(
            "bad_target_url",
            "The target's address cannot be used.",
            "Write it like https://host/path, in ASCII, without a name, a password or a fragment.",
        ),
        ErrorCode(
            "target_url_not_allowed",
            "The target's address is a private one, and this installation asks nothing there.",
            "Use a public address; or allow private ones with KEEPLINE_PRIVATE_ADDRESSES.",
        ),
        ErrorCode("bad_text", "text has a character that cannot be sent.", "Leave out NUL and unpaired surrogates."),
        ErrorCode("bad_user_id", "That is not a user id.", "Use the user id of the signed-in user."),
        ErrorCode(
            "bad_vote",
            "vote.options has one that the poll does not have, or one twice.",
            "Write them as the poll does.",
        ),
        ErrorCode(
            "bad_webhook_url",
            "The webhook's address cannot be used.",
            "Write it like https://host/path, in ASCII, without a name, a password or a fragment.",
        ),
        ErrorCode(
            "broadcast_not_supported", "Broadcast lists cannot be written to.", "Send to each person of the list."
        ),
        ErrorCode("empty_text", "The text is empty.", "Write something that can be seen."),
        ErrorCode("group_refused", "WhatsApp does not take this for a group.", "Try a shorter subject."),
        ErrorCode(
            "missing_field",
            "The field 'to' is missing.",
            "The fields are: session_id, send_at, expires_at, priority, on_doubt, to, quote, kind, text,"
            " mentions, preview.",
        ),
        ErrorCode("newsletter_not_supported", "Channels cannot be written to.", "Send to a person or a group."),
        ErrorCode("no_members", "Nobody is named.", "Name people in add, promote, demote or remove; one at least."),
        ErrorCode(
            "not_for_status", "Only a text without a quote can be sent as a status.", "Send it to a person or a group."
        ),
        ErrorCode(
            "proxy_not_allowed",
            "The proxy's address is a private one, and this installation does not dial those for its sessions.",
            "Use a proxy with a public address; or its operator allows private ones with KEEPLINE_PRIVATE_ADDRESSES.",
        ),
        ErrorCode("too_many_mentions", "mentions has 2000 people; a group has 1024 at most.", "Mention fewer."),
        ErrorCode("unknown_field", "There is no field 'number' here.", "The fields are: phone, slot."),
        ErrorCode(
            "bad_time_zone",
            "There is no such time zone.",
            "Use a name of the IANA database, like Europe/Bucharest or UTC.",
        ),
        ErrorCode(
            "unsupported_kind",
            "Messages of the kind 'gif' cannot be sent.",
            "The kinds are: text, location, contact, poll, vote, reaction, edit, revoke, forward.",
        ),
        ErrorCode(
            "webhook_url_not_allowed",
            "The webhook's address is a private one, and this installation sends nothing there.",
            "Use a public address; or its operator allows private ones with KEEPLINE_PRIVATE_ADDRESSES.",
        ),
    ),
    Unauthenticated: (
        ErrorCode("bad_api_key", "There is no such API key.", "Check the key, or have a new one made."),
        ErrorCode(
            "bad_app_check",
            "This installation lets people in from its own app only.",
            "Send the header X-Firebase-AppCheck with the app's token; programs use an API key instead.",
        ),
        ErrorCode(
            "bad_metrics_token",
            "This page is for the operator's monitoring.",
            "Send Authorization: Bearer with the value of KEEPLINE_METRICS_TOKEN.",
        ),
        ErrorCode("bad_token", "The sign-in token is not valid.", "Sign in again and use the new ID token."),
        ErrorCode(
            "unauthenticated",
            "This needs an API key or a sign-in token.",
            "Send the header X-Api-Key, or Authorization: Bearer with an API key or a Firebase ID token.",
        ),
    ),
    Forbidden: (
        ErrorCode(
            "missing_scope",
            "This API key does not have the scope 'send'.",
            "Use a key with the scope 'send', or have one made.",
        ),
        ErrorCode(
            "scope_not_yours",
            "A key cannot give what its maker does not have: admin.",
            "Leave these scopes out, or make the key with one that has them.",
        ),
        ErrorCode(
            "session_not_allowed",
            "This API key is for other sessions only.",
            "Use a key for this session, or for all sessions.",
        ),
    ),
    NotFound: (
        ErrorCode(
            "alert_not_found", "There is no such alert.", "GET /api/alerts lists them; closed ones stay 90 days."
        ),
        ErrorCode("channel_not_found", "There is no such channel of alerts.", "GET /api/alerts/channels lists them."),
        ErrorCode(
            "media_not_found",
            "There is no such file (any more).",
            "Use the media_id that an answer named; files are kept for a limited time.",
        ),
        ErrorCode("link_over", "This link is not good (any more).", "Ask for a new one: GET /api/media/{media_id}."),
        ErrorCode(
            "delivery_not_found",
            "There is no such delivery of this webhook.",
            "GET /api/webhooks/{webhook_id}/deliveries lists them; they are kept for two weeks.",
        ),
        ErrorCode(
            "group_not_found", "WhatsApp knows no such group.", "GET /api/groups lists those that the number is in."
        ),
        ErrorCode(
            "connector_not_found",
            "There is no such connector.",
            "GET /api/connectors lists those that have ever run.",
        ),
        ErrorCode("key_not_found", "There is no such key.", "List the keys that exist."),
        ErrorCode("message_not_found", "There is no such message.", "Use the message_id that an answer named."),
        ErrorCode(
            "report_not_found",
            "There is no report of this day.",
            "A day's report is made within the hour after it has ended; GET /api/reports lists those that there are.",
        ),
        ErrorCode("session_not_found", "There is no such session.", "Create it, or list the sessions that exist."),
        ErrorCode("standby_not_found", "The session has no standby device.", "Ask for one, then scan its code."),
        ErrorCode("target_not_found", "There is no such target.", "GET /api/uptime lists what is watched."),
        ErrorCode("webhook_not_found", "There is no such webhook.", "GET /api/webhooks lists yours."),
    ),
    StateConflict: (
        ErrorCode(
            "target_is_ours",
            "This is a part of Keepline, which is watched by itself.",
            "Switch its watching off with PATCH and enabled false.",
        ),
        ErrorCode(
            "url_not_fetched", "The file could not be fetched: it is not there.", "Look at its URL; then send again."
        ),
        ErrorCode("already_expired", "The time of this message ran out.", "Nothing to cancel."),
        ErrorCode("already_failed", "This message has failed.", "Nothing to cancel: it is not tried again."),
        ErrorCode(
            "already_linked",
            "A phone has linked this device already.",
            "Nothing to scan: look at the session's status.",
        ),
        ErrorCode(
            "already_sending",
            "This message is on its way to WhatsApp at this moment.",
            "Look at it again in a second; if it comes back to the queue, it can be cancelled.",
        ),
        ErrorCode(
            "already_sent",
            "WhatsApp has this message already.",
            "Send a message of the kind `revoke` to delete it for everyone.",
        ),
        ErrorCode(
            "another_number",
            "The standby has to be linked with the session's own number.",
            "Give the number that the session's status shows.",
        ),
        ErrorCode(
            "cannot_be_referred_to",
            "The message that this one refers to is only a reaction.",
            "Refer to the message that it is about.",
        ),
        ErrorCode("cannot_edit", "Only texts that this number sent can be edited.", "Send another message instead."),
        ErrorCode(
            "cannot_forward",
            "A message of the kind poll cannot be forwarded.",
            "Forward texts, files that are stored and not for one look only, locations and contacts.",
        ),
        ErrorCode(
            "cannot_reconnect", "The phone removed this linked device.", "Delete the session, create it again and scan."
        ),
        ErrorCode(
            "cannot_revoke",
            "Only messages that this number sent can be deleted for everyone.",
            "Ask its sender to delete it.",
        ),
        ErrorCode(
            "edit_too_late",
            "WhatsApp lets a message be edited for 15 minutes after it was sent.",
            "Send another message instead.",
        ),
        ErrorCode(
            "group_forbidden",
            "WhatsApp does not let this number do that: it is not in the group, or does not run it.",
            "Look at the group; have one of its admins do it, or make this number one.",
        ),
        ErrorCode("group_full", "The group takes no more members.", "Remove somebody first."),
        ErrorCode(
            "idempotency_mismatch",
            "This Idempotency-Key has been used for another message.",
            "Use a new key for each message; repeat a key only with the same body.",
        ),
        ErrorCode(
            "message_not_sent",
            "The message that this one refers to is not with WhatsApp: it is queued.",
            "Wait until it is sent.",
        ),
        ErrorCode(
            "message_of_another_session",
            "The message that this one refers to belongs to another session.",
            "Refer to a message of the session that sends.",
        ),
        ErrorCode("message_revoked", "The message that this one refers to was deleted.", "Refer to another message."),
        ErrorCode(
            "no_sealing_key",
            "This installation's API has no key to seal a proxy's address with, so it cannot keep one.",
            "Its operator gives the functions KEEPLINE_KMS_KEY or KEEPLINE_KEY_FILE, the same as the connectors have.",
        ),
        ErrorCode(
            "not_a_dead_letter",
            "This message has not failed: it is delivered.",
            "Only a failed message can be replayed; send the others as new messages.",
        ),
        ErrorCode("not_a_poll", "The message to vote on is no poll.", "Name the message_id of a poll."),
        ErrorCode(
            "not_connected",
            "The session is not connected to WhatsApp.",
            "Look at the session's status; try again when it is connected.",
        ),
        ErrorCode(
            "not_dead",
            "Only a delivery that was given up can be replayed.",
            "Look at its state: what is pending is tried by itself.",
        ),
        ErrorCode("not_linked_yet", "No phone has linked this session yet.", "Ask for its QR code, or a pairing code."),
        ErrorCode(
            "number_refused",
            "WhatsApp gives no pairing code for this number.",
            "Check the number and its country code, and that WhatsApp is in use on it; or scan the QR code.",
        ),
        ErrorCode(
            "pairing_code_not_available",
            "WhatsApp has banned this number for a while.",
            "Wait for the ban to end, then send more slowly.",
        ),
        ErrorCode(
            "qr_not_available",
            "WhatsApp has banned this number for a while.",
            "Wait for the ban to end, then send more slowly.",
        ),
        ErrorCode(
            "replayed_too_often",
            "This message has been tried 56 times, and there is a limit.",
            "Send it as a new message.",
        ),
        ErrorCode(
            "revoke_too_late",
            "WhatsApp lets a message be deleted for everyone for 60 hours after it was sent.",
            "Nothing can be done about it any more.",
        ),
        ErrorCode(
            "secrets_unreadable",
            "The webhook's secrets were changed in the store, or sealed with another key.",
            "Delete the webhook and create it anew.",
        ),
        ErrorCode(
            "session_being_deleted",
            "A session of this name is still being deleted.",
            "Wait until it is cleared, then create it again; or choose another id.",
        ),
        ErrorCode(
            "session_cannot_send",
            "The phone removed this linked device.",
            "Delete the session, create it again and scan.",
        ),
        ErrorCode("session_exists", "There is a session of this name already.", "Use it, or choose another id."),
        ErrorCode(
            "standby_being_removed",
            "The session's earlier standby is still being removed.",
            "Ask again in some seconds.",
        ),
    ),
    Gone: (
        ErrorCode(
            "events_gone",
            "What followed that event is not kept any more.",
            "Listen without Last-Event-ID, and read what you missed with GET /api/messages.",
        ),
    ),
    LimitReached: (
        ErrorCode(
            "channel_limit",
            "There is room for 10 channels of alerts, and all of it is taken.",
            "Delete one that is not needed any more.",
        ),
        ErrorCode(
            "installation_full",
            "This installation has 100 sessions, and 100 is its limit.",
            "Ask the operator for more room, or try again when sessions have been deleted.",
        ),
        ErrorCode("key_limit_reached", "You have 100 keys, and 100 is the limit.", "Revoke one that is not needed."),
        ErrorCode(
            "session_limit_reached",
            "You have 5 sessions, and 5 is the limit for a user.",
            "Delete one that is not needed (its place is free when it is cleared), or ask the operator for more.",
        ),
        ErrorCode(
            "target_limit_reached", "100 targets are watched, and 100 is the limit.", "Delete one that is not needed."
        ),
        ErrorCode(
            "webhook_limit",
            "There is room for 10 webhooks, and all of it is taken.",
            "Delete one that is not needed any more.",
        ),
    ),
    NotReady: (
        ErrorCode(
            "pairing_code_not_ready",
            "There is no pairing code yet: The connector is opening the connection to WhatsApp.",
            "Ask again in 2 seconds.",
        ),
        ErrorCode(
            "qr_not_ready",
            "No QR code is on offer yet: The connector is opening the connection to WhatsApp.",
            "Ask again in a second.",
        ),
    ),
    TooLarge: (
        ErrorCode("media_too_large", "The file is larger than 16 MB.", "Make it smaller, or send it as a document."),
        ErrorCode(
            "contact_too_large",
            "A vCard has up to 16384 bytes here, and all of a message 262144.",
            "Leave out pictures, or send several messages.",
        ),
        ErrorCode(
            "text_too_long", "The text has 70000 characters; WhatsApp takes 65536.", "Divide it into several messages."
        ),
    ),
    TooMany: (
        ErrorCode(
            "pairing_rate_limited",
            "WhatsApp says that pairing codes are being asked for too often.",
            "Wait some minutes before asking again, or scan the QR code.",
        ),
        ErrorCode(
            "queue_full",
            "10000 messages of this session are waiting already.",
            "Wait until some have been sent; look at the session's status if none are.",
        ),
        ErrorCode(
            "rate_limited",
            "That was too often: the limit of 'messages' is 60 in 60 s, 30 at once.",
            "Try again in 1 s; the headers RateLimit and Retry-After say how much is left.",
        ),
        ErrorCode(
            "too_many_streams",
            "20 streams of yours are open, and that is the limit.",
            "Close one, or share one among your programs; one that broke off is forgotten within six minutes.",
        ),
        ErrorCode(
            "wa_rate_limited",
            "WhatsApp says that it is asked for this too often.",
            "Leave it alone for some minutes.",
        ),
    ),
    Unavailable: (
        ErrorCode("media_unavailable", "The store of files did not answer.", "Try again in a second."),
        ErrorCode(
            "media_not_set_up",
            "This installation keeps no files.",
            "Its operator sets KEEPLINE_MEDIA_BUCKET or KEEPLINE_MEDIA_DIR.",
        ),
        ErrorCode("auth_unavailable", "Sign-in tokens cannot be checked at this moment.", "Try again in a second."),
        ErrorCode("busy", "The message is being changed by others at this moment.", "Try again in a second."),
        ErrorCode("command_failed", "WhatsApp's library could not do this (timed_out).", "Try again later."),
        ErrorCode(
            "key_unavailable",
            "The keeper of the keys did not answer, so the proxy cannot be kept safely.",
            "Try again in a second; nothing was changed.",
        ),
        ErrorCode(
            "not_carried_out",
            "No connector carried this out in time, and none will.",
            "Look at the session's status, then try again.",
        ),
        ErrorCode(
            "outcome_unknown",
            "It was begun, and WhatsApp's answer has not come. It may have been done, and is not tried again by itself.",
            "Repeat it with the same Idempotency-Key to ask again, or look whether it was done.",
        ),
        ErrorCode(
            "session_unhealthy",
            "reconnecting: The connection to WhatsApp closed and is being re-made.",
            "Nothing to do: it heals by itself and queued messages are kept.",
        ),
        ErrorCode("store_unavailable", "Firestore does not answer.", "Try again in a second."),
        ErrorCode("timed_out", "This took too long and was given up.", "Try again in a moment."),
        ErrorCode(
            "unsupported_command",
            "The connector is older than the API and does not know this.",
            "Deploy the connector anew.",
        ),
        ErrorCode(
            "whatsapp_unreachable",
            "WhatsApp has not been reached from any device of this session for some time: WhatsApp cannot be"
            " reached from the connector.",
            "Try again when it is tried again. Check the connector's network and proxy.",
        ),
    ),
}


class KnownError(NamedTuple):
    """An error as the API's description has it. `category` is None for those that are not raised as one of ours."""

    status: int
    category: type[KeeplineError] | None
    words: ErrorCode


ERROR_CODES: dict[str, KnownError] = {
    words.code: KnownError(status_of(category), category, words)
    for category, every in _BY_CATEGORY.items()
    for words in every
} | {words[0]: KnownError(status, None, ErrorCode(*words)) for status, words in HTTP_ERRORS.items()}
