"""What a fault is: its kind, whom it hits, when, and its figures. Plain data that travels as JSON; nothing acts here."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from simulator.errors import SimulatorError
from simulator.limits import FAREWELL_SECONDS, FAULT_COPIES_MAX, FAULT_SECONDS_MAX, RATE_TIMES_MAX


class Kind(StrEnum):
    """Every way to fail. "Once" below means: unless `for_s` or a stanza says otherwise."""

    # New connections get `code` as the answer to CONNECT, or with `tcp` a reset before any answer.
    REFUSE = "refuse"
    # The whole service is gone: open connections are reset, new ones refused like above.
    OUTAGE = "outage"
    # Connections are reset (TCP RST), once.
    RESET = "reset"
    # Connections stay open but no byte goes through in either direction; when it ends, what was held back flows.
    HALF_OPEN = "half_open"
    # Stanzas are read and thrown away, nothing is sent.
    STOP_ANSWERING = "stop_answering"
    # Everything (or a kind of stanza) takes `delay_s` longer, give or take `jitter_s`; the order stays.
    SLOW = "slow"
    # At most `bytes_per_s` in each direction of a connection.
    BANDWIDTH = "bandwidth"
    # Stanzas are lost.
    LOSSY = "lossy"
    # Stanzas arrive `copies` times more.
    DUPLICATE = "duplicate"
    # A stanza is overtaken by the next one (or goes on after `hold_s` if none follows).
    REORDER = "reorder"
    # A message is taken and delivered but its ack is lost; the same id sent again is acknowledged.
    DROP_ACK = "drop_ack"
    # A message is taken and delivered and its id never acknowledged, however often it is sent again.
    NEVER_ACK = "never_ack"
    # A message is not taken: its ack says `error=code`.
    ACK_ERROR = "ack_error"
    # The server says `<stream:error>` with `code` or `conflict` (once) and, with `close`, ends the connection.
    STREAM_ERROR = "stream_error"
    # A login is answered with `<failure reason=code>`; 402 comes with `ban_code` and `expire_s`.
    LOGIN_FAILURE = "login_failure"
    # An account that sends more than `sends` messages in `per_s` seconds is banned for `expire_s` (login failure 402).
    BAN = "ban"
    # The `t` of stanzas is `skew_s` off.
    CLOCK_SKEW = "clock_skew"


class Direction(StrEnum):
    # From the client to the server.
    IN = "in"
    # From the server to the client.
    OUT = "out"


# Stanzas that flow once a device is logged in; `login` is a login itself, `connect` a connection before anything is said.
FLOWING = frozenset({"message", "receipt", "iq", "ack", "notification", "presence", "chatstate", "ib"})
STANZAS = FLOWING | {"login", "connect"}


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a fault hits; what is None hits all. `device` is the number of a linked device and needs `number`."""

    number: str | None = None
    device: int | None = None
    direction: Direction | None = None
    stanza: str | None = None

    def owner_fits(self, number: str | None, device: int | None) -> bool:
        return self.number in (None, number) and self.device in (None, device)


@dataclass(frozen=True, slots=True)
class When:
    """From `after_s` seconds after it was added, for `for_s` seconds (None: until cleared), `count` hits, with a probability."""

    after_s: float = 0.0
    for_s: float | None = None
    count: int | None = None
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. Options that are None take the kind's default; one that the kind does not know is refused."""

    kind: Kind
    target: Target = field(default_factory=Target)
    when: When = field(default_factory=When)
    # HTTP status (refuse, outage), ack error, stream error or login failure reason.
    code: int | None = None
    # Refuse without an answer (refuse, outage).
    tcp: bool | None = None
    delay_s: float | None = None
    jitter_s: float | None = None
    bytes_per_s: float | None = None
    copies: int | None = None
    hold_s: float | None = None
    # "replaced" or "device_removed" (stream_error).
    conflict: str | None = None
    close: bool | None = None
    # How long the connection stays open after the last words (stream_error, login_failure). With 0 whatsmeow often sees a
    # plain disconnection, because it forgets stanzas not yet handled when its socket closes.
    linger_s: float | None = None
    ban_code: int | None = None
    expire_s: float | None = None
    sends: int | None = None
    per_s: float | None = None
    skew_s: float | None = None

    def __post_init__(self) -> None:
        check(self)
        for name, option in OPTIONS[self.kind].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, option.default)

    def number_of(self, name: str) -> float:
        """An option that the kind has, as a number."""
        return float(getattr(self, name) or 0.0)

    def as_json(self) -> dict[str, Any]:
        """The body that `POST /faults` takes; what says nothing is left out."""
        body: dict[str, Any] = {"kind": str(self.kind)}
        for name in ("target", "when"):
            part = getattr(self, name)
            given = {one.name: getattr(part, one.name) for one in fields(part)}
            body[name] = {key: value for key, value in given.items() if value is not None}
        return body | {name: value for name in OPTIONS[self.kind] if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Option:
    """A figure of some kinds of faults; `default` None without `optional` means that it must be given."""

    kind: type
    default: Any = None
    least: float = 0.0
    most: float = FAULT_SECONDS_MAX
    optional: bool = False
    choices: tuple[str, ...] = ()


_LINGER = Option(float, FAREWELL_SECONDS)
_REFUSAL = {"code": Option(int, 502, 400, 599), "tcp": Option(bool, False)}

# WhatsApp's own codes are three digits; ban codes are 101 to 106 (whatsmeow types/events `TempBanReason`).
OPTIONS: dict[Kind, dict[str, Option]] = {
    Kind.REFUSE: _REFUSAL,
    Kind.OUTAGE: _REFUSAL,
    Kind.RESET: {},
    Kind.HALF_OPEN: {},
    Kind.STOP_ANSWERING: {},
    Kind.SLOW: {"delay_s": Option(float), "jitter_s": Option(float, 0.0)},
    Kind.BANDWIDTH: {"bytes_per_s": Option(float, None, 1, 1e9)},
    Kind.LOSSY: {},
    Kind.DUPLICATE: {"copies": Option(int, 1, 1, FAULT_COPIES_MAX)},
    Kind.REORDER: {"hold_s": Option(float, 1.0)},
    Kind.DROP_ACK: {},
    Kind.NEVER_ACK: {},
    Kind.ACK_ERROR: {"code": Option(int, None, 100, 999)},
    Kind.STREAM_ERROR: {
        "code": Option(int, None, 100, 999, optional=True),
        "conflict": Option(str, None, choices=("replaced", "device_removed"), optional=True),
        "close": Option(bool, True),
        "linger_s": _LINGER,
    },
    Kind.LOGIN_FAILURE: {
        "code": Option(int, None, 100, 999),
        "ban_code": Option(int, None, 0, 999, optional=True),
        "expire_s": Option(float, None, optional=True),
        "linger_s": _LINGER,
    },
    Kind.BAN: {
        "sends": Option(int, None, 0, RATE_TIMES_MAX - 1),
        "per_s": Option(float, 60.0, 0.001),
        "code": Option(int, 101, 100, 999),
        "expire_s": Option(float, 3600.0),
    },
    Kind.CLOCK_SKEW: {"skew_s": Option(float, None, -FAULT_SECONDS_MAX)},
}
OPTION_NAMES = frozenset(name for options in OPTIONS.values() for name in options)

# Which stanzas a kind can be bound to; what is not listed is bound by its kind alone.
_ANY_STANZA = STANZAS
_BOUND_TO = {
    Kind.RESET: _ANY_STANZA,
    Kind.HALF_OPEN: _ANY_STANZA,
    Kind.STOP_ANSWERING: _ANY_STANZA,
    Kind.STREAM_ERROR: FLOWING | {"login"},
    Kind.SLOW: FLOWING | {"login"},
    Kind.LOSSY: FLOWING,
    Kind.DUPLICATE: FLOWING,
    Kind.REORDER: FLOWING,
    Kind.CLOCK_SKEW: FLOWING,
}
# Kinds that can be bound to one direction.
_DIRECTED = frozenset(
    {Kind.RESET, Kind.HALF_OPEN, Kind.STREAM_ERROR, Kind.SLOW, Kind.BANDWIDTH, Kind.LOSSY, Kind.DUPLICATE, Kind.REORDER}
)
# Of these, those for which a direction means nothing without a stanza.
_DIRECTED_BY_STANZA = frozenset({Kind.RESET, Kind.HALF_OPEN, Kind.STREAM_ERROR})


def bad(message: str, hint: str = "") -> SimulatorError:
    return SimulatorError("bad_fault", message, hint or "simulator/README.md lists the faults and what they take.")


def check(fault: Fault) -> None:
    """Raises `SimulatorError` for a fault that could never act as it reads."""
    _check_options(fault)
    _check_target(fault)
    when = fault.when
    for name in ("after_s", "for_s"):
        value = getattr(when, name)
        if value is not None and not 0 <= value <= FAULT_SECONDS_MAX:
            raise bad(f"`{name}` must be between 0 and {FAULT_SECONDS_MAX:g} seconds.")
    if when.count is not None and when.count < 1:
        raise bad("`count` must be at least 1.")
    if not 0 < when.probability <= 1:
        raise bad("`probability` must be above 0 and at most 1.")


def _check_options(fault: Fault) -> None:
    options = OPTIONS[fault.kind]
    for name in OPTION_NAMES:
        value = getattr(fault, name)
        option = options.get(name)
        if option is None:
            if value is not None:
                raise bad(f"A {fault.kind} fault does not take `{name}`.")
        elif value is None:
            if option.default is None and not option.optional:
                raise bad(f"A {fault.kind} fault needs `{name}`.")
        elif option.kind is str:
            if value not in option.choices:
                raise bad(f"`{name}` must be one of {', '.join(option.choices)}.")
        elif option.kind is not bool and not option.least <= value <= option.most:
            raise bad(f"`{name}` must be between {option.least:g} and {option.most:g}.")
    if fault.kind is Kind.STREAM_ERROR and fault.code is None and fault.conflict is None:
        raise bad("A stream_error fault needs `code`, `conflict` or both.")


def _check_target(fault: Fault) -> None:
    kind, target = fault.kind, fault.target
    if target.device is not None and target.number is None:
        raise bad("`device` says nothing without `number`.", "Give both, or neither.")
    if kind is Kind.OUTAGE and target.number is not None:
        raise bad("An outage hits everyone.", "Use a refuse or reset fault for one number.")
    if target.stanza is not None and target.stanza not in _BOUND_TO.get(kind, frozenset()):
        allowed = ", ".join(sorted(_BOUND_TO.get(kind, ()))) or "none"
        raise bad(f"A {kind} fault cannot be bound to the stanza {target.stanza[:40]!r} (but to: {allowed}).")
    if target.stanza == "connect" and target.number is not None:
        raise bad("Before a login nobody knows whose connection it is.", "Leave out `number`, or bind it to `login`.")
    if target.direction is not None:
        if kind not in _DIRECTED or (kind in _DIRECTED_BY_STANZA and target.stanza is None):
            raise bad(f"A {kind} fault{'' if target.stanza else ' without a stanza'} has no direction.")
        if target.stanza in ("login", "connect"):
            raise bad(f"A {target.stanza} has no direction.")
