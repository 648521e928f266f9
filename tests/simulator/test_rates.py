"""The rate policy: what it bears, what it does then, and that bans per thousand account-days can be read off it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulator import Policy, Settings, SimulatorError
from simulator.errors import ProtocolError
from simulator.log import TruthLog
from simulator.nodes import Node
from simulator.probe import ProbeDevice
from simulator.rates import Bans, RatePolicy, Rates
from simulator.testing import RunningSimulator

ADA = "14155550100"
DAY_S = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Judge:
    """`Rates` with a clock by hand; `bans` are (number, code, seconds)."""

    def __init__(self, seed: int = 0, **policy: Any) -> None:
        self.clock, self.log, self.bans = Clock(), TruthLog(), list[tuple[str, int, float]]()
        self.rates = Rates(RatePolicy(**policy), seed, self.clock, lambda *ban: self.bans.append(ban), self.log.add)
        self._ids = 0

    def send(self, to: str | None = "friend", number: str = ADA) -> int | None:
        self._ids += 1
        return self.rates.send(number, to, f"id{self._ids}")

    def totals(self) -> dict[str, Any]:
        return dict(self.rates.as_json()["totals"])


def test_sends_per_minute_are_refused_with_429_until_the_minute_is_over() -> None:
    judge = Judge(sends_per_minute=3, first_contacts_per_minute=None, ban_probability=0)
    assert [judge.send() for _ in range(5)] == [None, None, None, 429, 429]
    judge.clock.now += 60
    assert judge.send() is None
    assert judge.totals()["refused"] == 2 and judge.log.counts == {"rate": 2}


def test_strangers_are_counted_apart_and_who_wrote_first_is_none() -> None:
    judge = Judge(first_contacts_per_minute=2, first_contacts_per_day=3, ban_probability=0)
    judge.rates.wrote("customer", ADA)
    assert [judge.send(name) for name in ("a", "b", "a", "customer", "c")] == [None, None, None, None, 463]
    judge.clock.now += 60
    assert [judge.send(name) for name in ("c", "d")] == [None, 463]
    judge.clock.now += DAY_S
    assert judge.send("d") is None
    assert judge.totals()["first_contacts"] == 4


def test_a_message_sent_again_and_one_to_a_group_are_no_new_contacts() -> None:
    judge = Judge(first_contacts_per_minute=1, sends_per_minute=2, ban_probability=0)
    for _ in range(5):
        assert judge.rates.send(ADA, "a", "same") is None
    assert judge.send(None) is None and judge.send(None) == 429


def test_strikes_beyond_the_forgiven_ones_may_end_in_a_ban_and_bans_grow() -> None:
    judge = Judge(sends_per_minute=0, strikes_per_day=2, ban_probability=1.0, ban_s=100.0, ban_growth=3.0)
    for _ in range(4):
        judge.send()
    assert judge.bans == [(ADA, 106, 100.0), (ADA, 106, 300.0)]
    judge.clock.now += DAY_S
    judge.send()
    assert len(judge.bans) == 2, "yesterday's strikes are forgotten"


def test_presence_and_the_same_text_are_strikes_too() -> None:
    judge = Judge(presence_per_minute=1, same_text_per_hour=2, strikes_per_day=0, ban_probability=1.0)
    judge.send()
    for _ in range(2):
        judge.rates.presence(ADA)
    assert [code for _, code, _ in judge.bans] == [106]
    for text in ("offer!", "hello", "offer!", "offer!"):
        judge.rates.shown(ADA, text)
    assert [code for _, code, _ in judge.bans] == [106, 104]
    judge.rates.shown("nobody", "offer!")


def test_the_same_seed_bans_the_same_accounts() -> None:
    def banned(seed: int) -> list[str]:
        judge = Judge(seed, sends_per_minute=0, strikes_per_day=0, ban_probability=0.3)
        for number in range(50):
            judge.send(number=f"1415555{number:04}")
        return [number for number, _, _ in judge.bans]

    assert banned(1) == banned(1) != banned(2)
    assert 5 < len(banned(1)) < 25


def test_bans_per_thousand_account_days() -> None:
    judge = Judge(sends_per_minute=0, strikes_per_day=0, ban_probability=1.0)
    for number in range(4):
        judge.rates.linked(f"1415555000{number}")
    judge.send(number="14155550000")
    judge.rates.wrote("someone", "elsewhere")
    judge.clock.now += 5 * DAY_S
    totals = judge.totals()
    assert (totals["accounts"], totals["account_days"], totals["bans"]) == (4, 20.0, 1)
    assert totals["bans_per_1000_account_days"] == 50.0


def test_a_scaled_clock_lets_days_pass_in_seconds() -> None:
    judge = Judge(time_scale=DAY_S, first_contacts_per_day=1, strikes_per_day=0, ban_probability=1.0, ban_s=DAY_S)
    judge.send("a")
    assert judge.send("b") == 463 and judge.bans == [(ADA, 101, 1.0)]
    judge.clock.now += 1
    assert judge.send("b") is None and judge.totals()["account_days"] == 1.0


def test_bans_run_out_and_are_lifted() -> None:
    clock = Clock()
    bans = Bans(clock)
    bans.add(ADA, 101, 60)
    bans.add("14155550101", 104, 10)
    clock.now += 30
    assert bans.list() == [{"number": ADA, "code": 101, "seconds_left": 30}] and bans.of("14155550101") is None
    assert bans.lift("14155550101") == 0 and bans.lift() == 1 and bans.of(ADA) is None


@pytest.mark.parametrize(
    "body",
    [
        {"sends_per_second": 1},
        {"sends_per_minute": -1},
        {"sends_per_minute": 1.5},
        {"sends_per_minute": True},
        {"ban_probability": 2},
        {"ban_s": None},
        {"time_scale": 0},
        {"send_error": "429"},
    ],
)
def test_a_policy_that_cannot_be_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(SimulatorError) as refused:
        RatePolicy.from_json(body)
    assert (refused.value.code, refused.value.status) == ("bad_rates", 400)


def test_the_control_api_sets_reads_and_ends_a_policy_that_binds_devices() -> None:
    with RunningSimulator(Settings(policy=Policy(every_number_exists=True))) as running:
        control = running.client
        assert control.rates() == {"policy": None}
        with pytest.raises(SimulatorError):
            control.set_rates(colour="red")
        policy = control.set_rates(first_contacts_per_minute=1, strikes_per_day=1, ban_probability=1.0, ban_s=500)
        assert policy["policy"]["first_contacts_per_minute"] == 1 and policy["policy"]["sends_per_minute"] == 60

        async def work() -> None:
            port = int(running.about["proxy"].rpartition(":")[2])
            told: list[Node] = []
            device = ProbeDevice(
                port, Path(running.about["ca"]).parent, bytes.fromhex(running.about["noise_root"]), told.append
            )
            await device.pair(lambda qr: control.scan(ADA, qr))
            await device.log_in()
            assert "error" not in (await device.send_text("14155550201", "hello")).attrs
            for number in ("14155550202", "14155550203"):
                assert (await device.send_text(number, "hello")).text("error") == "463"
            await asyncio.wait_for(device.closed.wait(), 5)
            with pytest.raises(ProtocolError, match='reason="402"'):
                await device.log_in(0)
            await device.close()

        asyncio.run(asyncio.wait_for(work(), 30))
        (ban,) = control.bans()
        assert (ban["number"], ban["code"]) == (ADA, 101) and 490 < ban["seconds_left"] <= 500
        (account,) = control.rates()["accounts"]
        assert account == {
            "number": ADA, "sends": 1, "first_contacts": 1, "presences": 0, "refused": 2, "breaches": 2, "bans": 1,
        }  # fmt: skip
        assert [event["rule"] for event in control.log(kind="rate")[0]] == ["first_contacts"] * 2
        control.end_rates()
        assert control.rates() == {"policy": None} and control.lift_bans(ADA) == 1


def test_a_policy_comes_from_a_file_and_a_bad_one_is_named_in_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "rates.json"
    file.write_text(json.dumps({"sends_per_minute": 7, "presence_per_minute": None}))
    loaded = RatePolicy.load(str(file))
    assert (loaded.sends_per_minute, loaded.presence_per_minute) == (7, None) and RatePolicy.load(
        "default"
    ) == RatePolicy()
    file.write_text("[]")
    command = [sys.executable, "-m", "simulator", "--dir", str(tmp_path), "--rates", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "rates.json" in done.stderr
