"""Who holds which device, at the size of a large installation: the real policy (keepline.domain.placement), no store, no clock.

    python -m bench.assignment --accounts 1000000

Accounts are spread over shards by their tenants, as docs/scale.md has it; in each shard the policy places all devices, then
loses a connector, and a region; the fullest one gets the lost connector back. The last line is JSON: times of a plan, balance,
and moves beyond those that the loss forces. `--single` plans growing numbers of accounts in one shard: where one alone ends.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context

from keepline.domain.placement import Move, Place, Placed, plan_moves

# A shard is an installation as it can be today: its queries read up to 1,000 accounts (records/accounts.py).
SHARD_ACCOUNTS_MAX = 1_000
# New tenants come only to a shard that is less full than this, so that those there can grow.
SHARD_OPEN_UNTIL = 0.9
REGIONS = ("europe-west1", "europe-west4")
CAPACITY = 200  # devices of a connector: KEEPLINE_DEVICES_MAX where nothing is set
_ROUNDS_MAX = 2_000


@dataclass(frozen=True)
class Found:
    """Of one shard. Times in seconds."""

    accounts: int
    connectors: int
    plan_s: float  # all devices at once
    loss_plan_s: float  # after a connector is lost
    forced: int  # devices that the lost connector had
    moved: int  # moves until nothing more is planned
    region_without: int  # accounts without any device after a region is lost
    together: int  # accounts with both devices in one region, before any loss
    fullest: float  # load of the fullest connector over the mean


def shard_sizes(accounts: int, seed: int) -> list[int]:
    """How many accounts each shard has. A tenant with all it has goes to the emptier of two open shards, drawn at random."""
    rng = random.Random(seed)  # noqa: S311 - a simulation, the same for the same seed
    shards = [0] * max(2, -(-accounts // int(SHARD_ACCOUNTS_MAX * SHARD_OPEN_UNTIL * 0.97)))
    placed = 0
    while placed < accounts:
        # Most tenants have one number, few have many; 200 is the most that one may have.
        size = min(200, int(rng.paretovariate(1.2)), accounts - placed)
        two = sorted(rng.sample(range(len(shards)), 2), key=lambda shard: shards[shard])
        if shards[two[0]] + size > SHARD_ACCOUNTS_MAX * SHARD_OPEN_UNTIL:
            two[0] = min(range(len(shards)), key=lambda shard: shards[shard])
            if shards[two[0]] + size > SHARD_ACCOUNTS_MAX:
                shards.append(0)
                two[0] = len(shards) - 1
        shards[two[0]] += size
        placed += size
    return shards


def connectors_for(accounts: int) -> list[Place]:
    """As many as hold one device of each account in each region, and one more in each, for the loss of one."""
    each = -(-accounts // CAPACITY) + 1
    return [Place(f"{region}-{number}", region, CAPACITY) for region in REGIONS for number in range(each)]


def carried_out(devices: Sequence[Placed], moves: Sequence[Move]) -> list[Placed]:
    to = {move.device.name: move.to for move in moves}
    return [replace(device, holder=to.get(device.name, device.holder)) for device in devices]


def settle(places: Sequence[Place], devices: list[Placed]) -> tuple[list[Placed], int]:
    """Rounds until nothing more is planned; with the number of moves."""
    moved = 0
    for _ in range(_ROUNDS_MAX):
        moves = plan_moves(places, devices)
        if not moves:
            return devices, moved
        moved += len(moves)
        devices = carried_out(devices, moves)
    raise AssertionError("it never settles")


def without_any(places: Sequence[Place], devices: Sequence[Placed]) -> int:
    alive = {place.id for place in places if place.alive}
    held = {device.account for device in devices if device.holder in alive}
    return len({device.account for device in devices} - held)


def unplaced(accounts: int) -> list[Placed]:
    """Two devices for each account, as with a standby; nobody has them yet."""
    return [Placed(f"t_{number:06}", slot) for number in range(accounts) for slot in "ab"]


def one_shard(accounts: int) -> Found:
    places = connectors_for(accounts)
    new = unplaced(accounts)
    began = time.perf_counter()
    moves = plan_moves(places, new)
    plan_s = time.perf_counter() - began
    devices = carried_out(new, moves)
    loads = Counter(device.holder for device in devices)
    region = {place.id: place.region for place in places}
    of_account: dict[str, set[str]] = {}
    for device in devices:
        of_account.setdefault(device.account, set()).add(region[device.holder or ""])

    lost = [replace(place, alive=place is not places[0]) for place in places]
    began = time.perf_counter()
    plan_moves(lost, devices)
    loss_plan_s = time.perf_counter() - began
    _, moved = settle(lost, devices)
    dark = [replace(place, alive=place.region != REGIONS[0]) for place in places]
    in_the_dark = carried_out(devices, plan_moves(dark, devices))
    return Found(
        accounts=accounts,
        connectors=len(places),
        plan_s=plan_s,
        loss_plan_s=loss_plan_s,
        forced=loads[places[0].id],
        moved=moved,
        region_without=without_any(dark, in_the_dark),
        together=sum(len(regions) < 2 for regions in of_account.values()),
        fullest=max(loads.values()) / (len(devices) / len(places)),
    )


def moves_at_a_return(accounts: int) -> int:
    """When a lost connector is back: for balance, two in a round."""
    places = connectors_for(accounts)
    devices = carried_out(unplaced(accounts), plan_moves(places, unplaced(accounts)))
    lost, _ = settle([replace(place, alive=place is not places[0]) for place in places], devices)
    return settle(places, lost)[1]


def many_shards(accounts: int, seed: int) -> dict[str, object]:
    began = time.perf_counter()
    sizes = shard_sizes(accounts, seed)
    placing_s = time.perf_counter() - began
    # Shards of one size are alike, because the policy knows no chance: each size is worked out once.
    shards = Counter(size for size in sizes if size)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as workers:
        found = dict(zip(shards, workers.map(one_shard, shards), strict=True))

    def total(field: str) -> int:
        return sum(getattr(found[size], field) * times for size, times in shards.items())

    return {
        "accounts": total("accounts"),
        "shards": len(sizes),
        "fullest_shard": max(sizes),
        "emptiest_shard": min(sizes),
        "connectors": total("connectors"),
        "placing_tenants_s": round(placing_s, 1),
        "plan_s_worst": round(max(one.plan_s for one in found.values()), 3),
        "loss_plan_s_worst": round(max(one.loss_plan_s for one in found.values()), 3),
        "fullest_connector": round(max(one.fullest for one in found.values()), 3),
        "accounts_in_one_region": total("together"),
        "moves_at_a_loss": max(one.moved for one in found.values()),
        "moves_not_forced": max(one.moved - one.forced for one in found.values()),
        "accounts_dark_at_a_regions_loss": total("region_without"),
        "moves_at_a_return": moves_at_a_return(max(sizes)),
    }


def growing() -> dict[str, object]:
    """One shard alone, larger and larger: seconds for the first plan and for the one after a loss."""
    times = {}
    for accounts in (500, 1_000, 2_000, 4_000, 8_000):
        places = connectors_for(accounts)
        new = unplaced(accounts)
        began = time.perf_counter()
        devices = carried_out(new, plan_moves(places, new))
        placed = time.perf_counter()
        plan_moves([replace(place, alive=place is not places[0]) for place in places], devices)
        times[str(accounts)] = [round(placed - began, 2), round(time.perf_counter() - placed, 2)]
    return {"single_shard_plan_s": times}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.assignment", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--single", action="store_true", help="one shard, growing, in place of many")
    options = parser.parse_args()
    print(json.dumps(growing() if options.single else many_shards(options.accounts, options.seed)))


if __name__ == "__main__":
    main()
