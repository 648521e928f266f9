"""What to do about a message that may have left: wait for proof, ask a witness, or let its sender's choice decide."""

from __future__ import annotations

from enum import Enum

# How long a doubt waits, from the moment the device has caught up, for the receipt that would prove the message arrived.
# A recipient that is online answers within a second or two; the receipts of the time away come with the catching-up.
RECEIPT_WAIT_S = 10.0
# A standby that is away comes back within a restart or a redeployment. After this the account is treated as having none.
WITNESS_WAIT_S = 600.0


class Judgement(Enum):
    """The next step for one doubt."""

    WAIT = "wait"  # Nothing can be known yet.
    ASK = "ask"  # The account's other device got a copy if WhatsApp took the message: ask it.
    GIVE_UP = "give_up"  # No evidence will come.


def judge(now_s: float, *, doubt_since_s: float, caught_up_since_s: float | None, has_witness: bool) -> Judgement:
    """Judge a doubt. Times are of a monotonic clock; `caught_up_since_s` is None while the device is not connected.

    Only once the device is logged in again can nothing more come in over its earlier socket, and only once it has caught up has
    it heard the receipts of the time away. So both kinds of evidence count from then.
    """
    if caught_up_since_s is None:
        return Judgement.WAIT
    waited_s = now_s - max(doubt_since_s, caught_up_since_s)
    if has_witness:
        return Judgement.ASK if waited_s < WITNESS_WAIT_S else Judgement.GIVE_UP
    return Judgement.GIVE_UP if waited_s >= RECEIPT_WAIT_S else Judgement.WAIT
