"""Which connector holds which device. Pure and deterministic: every connector computes the same from the same facts.

- What is well placed stays. A device moves when its connector is dead or draining, to keep the devices of one account apart, or
  for balance; the last two a few at a time, and only if it gains something.
- Apart: on different connectors, and in different regions where there are several with room.
- Devices of dead connectors first. Where room is short everybody has one device before anybody has two, and of an account that
  has none the one that sends comes first. A draining connector keeps a device until somebody else has room for it.

Every move for the better lowers the same cost: (accounts with devices on one connector, in one region, the sum of
load² / capacity). What only ever falls cannot flap, and ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

# Moves that nothing forces, in one round. A move is a reconnect; a returned region fills up over minutes, not at once.
BETTER_MOVES_MAX = 2


@dataclass(frozen=True)
class Place:
    """A connector. `capacity` is how many devices it may hold."""

    id: str
    region: str
    capacity: int
    alive: bool = True
    draining: bool = False


@dataclass(frozen=True)
class Placed:
    """A device and its present holder, None if nobody has it. `sends`: it is the one that sends for its account."""

    account: str
    slot: str
    holder: str | None = None
    sends: bool = False

    @property
    def name(self) -> tuple[str, str]:
        return (self.slot, self.account)


@dataclass(frozen=True)
class Move:
    """A device goes to another connector. `reason`: `homeless`, `draining`, `apart` or `balance`."""

    device: Placed
    to: str
    reason: str


def plan_moves(
    places: Iterable[Place], devices: Iterable[Placed], better_moves_max: int = BETTER_MOVES_MAX
) -> list[Move]:
    """The moves of this round, forced ones first. A device of a dead connector that finds no room is left out."""
    board = _Board(places, devices)
    moves = []
    for device, reason in board.displaced():
        to = board.best_place(device)
        if to is not None:
            moves.append(Move(device, to.id, reason))
            board.put(device, to)
    moved = {move.device for move in moves}
    for _ in range(better_moves_max):
        better = board.best_move(moved)
        if better is None:
            break
        moves.append(better)
        moved.add(better.device)
        board.put(better.device, board.open[better.to])
    return moves


class _Board:
    """Who is where, while the round is being planned."""

    def __init__(self, places: Iterable[Place], devices: Iterable[Placed]) -> None:
        known = {place.id: place for place in places}
        self.open = {
            id_: place
            for id_, place in sorted(known.items())
            if place.alive and not place.draining and place.capacity > 0
        }
        self._devices: Sequence[Placed] = sorted(devices, key=lambda device: device.name)
        self._load = dict.fromkeys(self.open, 0)
        self._at: dict[Placed, Place] = {}
        self._siblings: dict[str, list[Placed]] = {}
        for device in self._devices:
            self._siblings.setdefault(device.account, []).append(device)
            holder = known.get(device.holder or "")
            if holder is not None and holder.alive:
                self._at[device] = holder
                if holder.id in self._load:
                    self._load[holder.id] += 1

    def displaced(self) -> list[tuple[Placed, str]]:
        """The devices that must move: of dead connectors or nobody, then of draining ones."""
        homeless: list[tuple[int, Placed]] = []
        for siblings in self._siblings.values():
            without = sorted(
                (one for one in siblings if one not in self._at), key=lambda one: (not one.sends, one.slot)
            )
            homeless += enumerate(without, start=len(siblings) - len(without))
        homeless.sort(key=lambda ranked: (ranked[0], ranked[1].name))
        leaving = [(device, "draining") for device, at in self._at.items() if at.id not in self.open]
        return [(device, "homeless") for _, device in homeless] + leaving

    def put(self, device: Placed, place: Place) -> None:
        before = self._at.get(device)
        if before is not None and before.id in self._load:
            self._load[before.id] -= 1
        self._at[device] = place
        self._load[place.id] += 1

    def best_place(self, device: Placed) -> Place | None:
        """Where it costs least, among those with room."""
        with_room = [place for place in self.open.values() if self._load[place.id] < place.capacity]
        return min(
            with_room,
            key=lambda place: (*self._closeness(device, place), self._cost_of_one_more(place), place.id),
            default=None,
        )

    def best_move(self, moved: set[Placed]) -> Move | None:
        """The move that lowers the cost most, or None if none does. A standby rather than a sending device."""
        best: tuple[tuple[int, int, Fraction], Move] | None = None
        for device in reversed(self._devices):
            at = self._at.get(device)
            if device in moved or at is None or at.id not in self.open:
                continue
            here = (*self._closeness(device, at), self._cost_of_last(at))
            for place in self.open.values():
                if place is at or self._load[place.id] >= place.capacity:
                    continue
                there = (*self._closeness(device, place), self._cost_of_one_more(place))
                change = (there[0] - here[0], there[1] - here[1], there[2] - here[2])
                if change < (0, 0, 0) and (best is None or change < best[0]):
                    best = (change, Move(device, place.id, "apart" if change[:2] < (0, 0) else "balance"))
        return best[1] if best is not None else None

    def _closeness(self, device: Placed, place: Place) -> tuple[int, int]:
        """How many devices of the same account are on this connector and in its region already."""
        others = [
            self._at[other] for other in self._siblings[device.account] if other is not device and other in self._at
        ]
        return sum(at.id == place.id for at in others), sum(at.region == place.region for at in others)

    def _cost_of_one_more(self, place: Place) -> Fraction:
        """By how much load² / capacity rises."""
        return Fraction(2 * self._load[place.id] + 1, place.capacity)

    def _cost_of_last(self, place: Place) -> Fraction:
        """By how much load² / capacity falls when one leaves."""
        return Fraction(2 * self._load[place.id] - 1, place.capacity)
