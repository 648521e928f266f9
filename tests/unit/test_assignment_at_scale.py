"""The plan for many accounts (docs/scale.md), in small: what the large run measures must hold of any size."""

from __future__ import annotations

import pytest

from bench.assignment import SHARD_ACCOUNTS_MAX, many_shards, one_shard, shard_sizes
from keepline.records.accounts import ACCOUNTS_MAX


@pytest.mark.parametrize("accounts", [1, 40, 130])
def test_a_lost_connector_moves_its_own_devices_and_no_others(accounts: int) -> None:
    found = one_shard(accounts)
    assert found.moved == found.forced > 0
    assert found.together == 0
    assert found.region_without == 0


def test_a_shard_is_never_larger_than_the_code_can_read() -> None:
    assert SHARD_ACCOUNTS_MAX == ACCOUNTS_MAX
    sizes = shard_sizes(20_000, seed=3)
    assert sum(sizes) == 20_000
    assert max(sizes) <= SHARD_ACCOUNTS_MAX
    assert min(sizes) > SHARD_ACCOUNTS_MAX / 2, "none stays nearly empty"


def test_the_summary_counts_every_account() -> None:
    assert many_shards(60, seed=2)["accounts"] == 60
