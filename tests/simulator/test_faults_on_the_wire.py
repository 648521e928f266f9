"""Each kind of fault as a plain device sees it, and the control API for faults."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from simulator import Policy, Settings, Simulator, SimulatorError
from simulator.client import SimulatorClient
from simulator.errors import ProtocolError
from simulator.faults import Direction, Fault, Kind, Target, When
from simulator.jid import SERVER_JID, Jid
from simulator.nodes import Node
from simulator.probe import ProbeDevice

ADA, BOB = "14155550100", "14155550199"
# What is asserted not to happen is given this long to happen.
QUIET_S = 0.15


class World:
    """A simulator with one linked device (Ada's) that knows Bob; `heard` is every stanza it got unasked."""

    def __init__(self, simulator: Simulator, device: ProbeDevice, heard: list[Node]) -> None:
        self.simulator = simulator
        self.faults = simulator.faults
        self.device = device
        self.heard = heard
        self._sent = 0

    def messages(self) -> list[str]:
        return [node.text("id") for node in self.heard if node.tag == "message"]

    def logged(self, kind: str) -> list[dict[str, Any]]:
        return self.simulator.log.since(0, kind)[0]

    async def ping(self) -> float:
        """Seconds until an info query is answered."""
        started = time.monotonic()
        await self.device.ask("w:p", "get")
        return time.monotonic() - started

    async def message(self) -> Node:
        """A message stanza for Bob that has not been sent yet."""
        self._sent += 1
        user = Jid(BOB, self.device.jid.server)
        devices, lids = await self.device.devices_of(user, self.device.jid.account())
        await self.device.open_sessions([one for one in devices if one != self.device.lid])
        return self.device.sealed_message(f"3EB0AB{self._sent:04}", lids[user], devices, f"text {self._sent}")

    def shown_to_bob(self, node: Node) -> int:
        return [message.id for message in self.simulator.phone(BOB).inbox].count(node.text("id"))


def new_device(simulator: Simulator, on_node: Callable[[Node], None] | None = None) -> ProbeDevice:
    return ProbeDevice(simulator.proxy_port, simulator.folder, simulator.noise_root, on_node)


async def link(simulator: Simulator, number: str, device: ProbeDevice) -> ProbeDevice:
    loop = asyncio.get_running_loop()

    def scan(qr: str) -> None:
        pairing = simulator.world.pairings.scan(simulator.phone(number), qr)
        asyncio.run_coroutine_threadsafe(pairing, loop).result(10)

    await device.pair(scan)
    await device.log_in()
    return device


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with Simulator(Settings(seed=3, policy=Policy(every_number_exists=True))) as simulator:
        heard: list[Node] = []
        device = await link(simulator, ADA, new_device(simulator, heard.append))
        yield World(simulator, device, heard)
        simulator.faults.clear()
        await device.close()


async def until(probe: Callable[[], object], what: str, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not probe():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.005)


async def unanswered(asking: asyncio.Task[Any]) -> bool:
    """Whether nothing comes for a while."""
    done, _ = await asyncio.wait({asking}, timeout=QUIET_S)
    return not done


# Below the stanzas


async def test_slow_delays_both_ways_and_one_way_if_told(world: World) -> None:
    fault = world.faults.add(Fault(Kind.SLOW, delay_s=0.1))
    assert 0.2 <= await world.ping() < 1.0
    world.faults.clear(fault)
    await world.ping()
    assert await world.ping() < 0.1
    world.faults.add(Fault(Kind.SLOW, Target(ADA, direction=Direction.IN), delay_s=0.1, jitter_s=0.02))
    assert 0.08 <= await world.ping() < 0.2


async def test_slow_keeps_the_order_also_when_it_ends(world: World) -> None:
    fault = world.faults.add(Fault(Kind.SLOW, Target(ADA), delay_s=0.1, jitter_s=0.1))
    phone = world.simulator.phone(BOB)
    sent = [phone.send_text(ADA, f"{number}") for number in range(20)]
    world.faults.clear(fault)
    sent += [phone.send_text(ADA, "after")]
    await until(lambda: len(world.messages()) == len(sent), "all messages")
    assert world.messages() == sent


async def test_slow_stanzas_of_one_kind_leave_the_others_alone(world: World) -> None:
    world.faults.add(Fault(Kind.SLOW, Target(stanza="message", direction=Direction.OUT), delay_s=0.2))
    sent = world.simulator.phone(BOB).send_text(ADA, "late")
    assert await world.ping() < 0.2 and world.messages() == []
    await until(lambda: world.messages() == [sent], "the message")


async def test_half_open_lets_nothing_through_until_it_heals(world: World) -> None:
    fault = world.faults.add(Fault(Kind.HALF_OPEN, Target(ADA)))
    asking = asyncio.create_task(world.ping())
    sent = world.simulator.phone(BOB).send_text(ADA, "held back")
    assert await unanswered(asking) and not world.messages() and not world.device.closed.is_set()
    world.faults.clear(fault)
    await asking
    await until(lambda: world.messages() == [sent], "the message")


async def test_half_open_heals_by_itself_when_its_time_is_over(world: World) -> None:
    world.faults.add(Fault(Kind.HALF_OPEN, when=When(for_s=0.2)))
    assert 0.15 <= await world.ping() < 2.0


async def test_a_half_open_connection_can_be_replaced_by_a_new_login(world: World) -> None:
    world.faults.add(Fault(Kind.HALF_OPEN, Target(ADA), When(count=1)))
    old = world.device
    again = new_device(world.simulator)
    again.__dict__.update({key: old.__dict__[key] for key in ("_noise_key", "store", "jid", "lid", "device_identity")})
    await again.log_in(0)
    assert not old.closed.is_set(), "the end of the old connection is held back, too"
    world.faults.clear()
    await until(old.closed.is_set, "the end of the old connection")
    assert any(node.tag == "stream:error" for node in world.heard)
    await again.close()


async def test_bandwidth_is_shared_by_what_is_sent(world: World) -> None:
    world.faults.add(Fault(Kind.BANDWIDTH, Target(ADA, direction=Direction.IN), bytes_per_s=40_000))
    started = time.monotonic()
    padding = Node("padding", {}, bytes(10_000))
    await world.device.ask("w:test", "get", padding)
    assert 0.2 <= time.monotonic() - started < 1.5


async def test_reset_and_stream_errors_end_what_is_open_once(world: World) -> None:
    world.faults.add(Fault(Kind.RESET, Target(ADA)))
    await asyncio.wait_for(world.device.closed.wait(), 5)
    await world.device.log_in(0)
    world.faults.add(Fault(Kind.STREAM_ERROR, Target(ADA), code=503, conflict="replaced"))
    await asyncio.wait_for(world.device.closed.wait(), 5)
    error = [node for node in world.heard if node.tag == "stream:error"][-1]
    assert error.text("code") == "503" and error.children()[0].text("type") == "replaced"
    await world.device.log_in(0)


async def test_an_outage_resets_everyone_and_refuses_all_until_it_is_over(world: World) -> None:
    fault = world.faults.add(Fault(Kind.OUTAGE))
    await asyncio.wait_for(world.device.closed.wait(), 5)
    with pytest.raises(ProtocolError, match="502"):
        await world.device.log_in(0)
    world.faults.clear(fault)
    await world.device.log_in(0)


async def test_refused_and_reset_connections_before_anything_is_said(world: World) -> None:
    await world.device.close()
    for fault in (
        Fault(Kind.REFUSE, tcp=True, when=When(count=1)),
        Fault(Kind.RESET, Target(stanza="connect"), When(count=1)),
    ):
        world.faults.add(fault)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await world.device.log_in(0)
    world.faults.add(Fault(Kind.REFUSE, code=407, when=When(count=1)))
    with pytest.raises(ProtocolError, match="407"):
        await world.device.log_in(0)
    world.faults.add(Fault(Kind.HALF_OPEN, Target(stanza="connect"), When(count=1)))
    asking = asyncio.create_task(world.device.log_in(0))
    assert await unanswered(asking)
    world.faults.clear()
    await asking
    assert [event["what"] for event in world.logged("fault")] == ["refuse", "reset", "refuse", "half_open"]


# Stanzas


async def test_stop_answering_reads_and_forgets(world: World) -> None:
    fault = world.faults.add(Fault(Kind.STOP_ANSWERING, Target(ADA)))
    asking = asyncio.create_task(world.ping())
    assert await unanswered(asking)
    world.faults.clear(fault)
    await world.ping()
    assert not asking.done(), "what was read meanwhile is gone"
    asking.cancel()


async def test_a_lost_delivery_is_not_called_delivered_and_comes_with_the_next_login(world: World) -> None:
    world.faults.add(Fault(Kind.LOSSY, Target(ADA, stanza="message"), When(count=1)))
    sent = world.simulator.phone(BOB).send_text(ADA, "lost once")
    await world.ping()
    assert world.messages() == []
    assert sent not in [event["id"] for event in world.logged("delivered") if event["device"] == 1]
    await world.device.close()
    await world.device.log_in(0)
    await until(lambda: world.messages() == [sent], "the message")


async def test_duplicates_reach_the_device_and_are_dropped_by_phones(world: World) -> None:
    world.faults.add(Fault(Kind.DUPLICATE, Target(stanza="message"), copies=2))
    sent = world.simulator.phone(BOB).send_text(ADA, "three times")
    await until(lambda: len(world.messages()) == 3, "the copies")
    assert set(world.messages()) == {sent}
    node = await world.message()
    await world.device.answered(node)
    await world.ping()
    assert world.shown_to_bob(node) == 1 and world.simulator.phone(BOB).duplicates_dropped == 2


async def test_reorder_lets_the_next_stanza_pass_or_gives_up_waiting(world: World) -> None:
    world.faults.add(Fault(Kind.REORDER, Target(stanza="message", direction=Direction.OUT), When(count=2), hold_s=0.2))
    phone = world.simulator.phone(BOB)
    first, second = phone.send_text(ADA, "first"), phone.send_text(ADA, "second")
    await until(lambda: len(world.messages()) == 2, "both")
    assert world.messages() == [second, first]
    world.faults.add(Fault(Kind.REORDER, Target(stanza="message", direction=Direction.OUT), When(count=1), hold_s=0.1))
    alone = phone.send_text(ADA, "alone")
    await until(lambda: alone in world.messages(), "the message that nothing overtook")


async def test_a_lost_ack_comes_when_the_id_is_sent_again_and_one_never_given_does_not(world: World) -> None:
    for kind in (Kind.DROP_ACK, Kind.NEVER_ACK):
        node = await world.message()
        world.faults.add(Fault(kind, Target(ADA), When(count=1)))
        asking = asyncio.create_task(world.device.answered(node))
        assert await unanswered(asking) and world.shown_to_bob(node) == 1
        asking.cancel()
        again = asyncio.create_task(world.device.answered(node))
        assert await unanswered(again) is (kind is Kind.NEVER_ACK)
        again.cancel()
        assert world.shown_to_bob(node) == 1
    assert "error" not in (await world.device.answered(await world.message())).attrs


async def test_a_refused_message_is_not_taken(world: World) -> None:
    node = await world.message()
    world.faults.add(Fault(Kind.ACK_ERROR, code=463, when=When(count=1)))
    assert (await world.device.answered(node)).text("error") == "463" and world.shown_to_bob(node) == 0
    (refused,) = world.logged("refused")
    assert (refused["error"], refused["id"]) == (463, node.text("id"))


async def test_the_clock_can_be_wrong(world: World) -> None:
    world.faults.add(Fault(Kind.CLOCK_SKEW, Target(ADA), skew_s=-3600))
    ack = await world.device.answered(await world.message())
    assert abs(int(ack.text("t")) + 3600 - time.time()) < 5
    world.simulator.phone(BOB).send_text(ADA, "from the past")
    await until(world.messages, "the message")
    message = next(node for node in world.heard if node.tag == "message")
    assert abs(int(message.text("t")) + 3600 - time.time()) < 5


# Logins and bans


@pytest.mark.parametrize("code", [401, 402, 403, 405, 406, 409, 429, 500, 503])
async def test_a_login_fails_for_a_reason(world: World, code: int) -> None:
    await world.device.close()
    options = {"ban_code": 101, "expire_s": 3600} if code == 402 else {}
    world.faults.add(Fault(Kind.LOGIN_FAILURE, Target(ADA, 1), code=code, when=When(count=1), **options))
    with pytest.raises(ProtocolError, match=f'reason="{code}"') as failed:
        await world.device.log_in(0)
    if code == 402:
        assert 'code="101" expire="3600"' in str(failed.value)
    await world.device.close()
    await world.device.log_in(0)


async def test_a_login_can_be_left_unanswered_or_late_and_what_is_said_meanwhile_is_heard(world: World) -> None:
    await world.device.close()
    world.faults.add(Fault(Kind.STOP_ANSWERING, Target(ADA, stanza="login"), When(count=1)))
    asking = asyncio.create_task(world.device.log_in(0))
    assert await unanswered(asking)
    asking.cancel()
    await world.device.close()
    world.faults.add(Fault(Kind.SLOW, Target(ADA, stanza="login"), delay_s=0.2))
    started = time.monotonic()
    late = asyncio.create_task(world.device.log_in(0))
    await until(lambda: len(world.logged("connected")) == 4, "the connection")
    world.device.send(Node("iq", {"id": "early", "to": SERVER_JID, "type": "get", "xmlns": "w:p"}))
    await late
    assert 0.2 <= time.monotonic() - started < 2
    assert any(node.text("id") == "early" for node in world.heard)


async def test_an_account_that_sends_too_fast_is_banned_until_the_ban_runs_out(world: World) -> None:
    world.faults.add(Fault(Kind.BAN, sends=2, per_s=60, code=104, expire_s=600))
    for _ in range(2):
        assert "error" not in (await world.device.answered(await world.message())).attrs
    node = await world.message()
    with pytest.raises(ConnectionError):
        await world.device.answered(node)
    assert world.shown_to_bob(node) == 0
    with pytest.raises(ProtocolError, match=r'reason="402".*code="104" expire="(600|599)"'):
        await world.device.log_in(0)
    assert world.logged("banned")[0]["code"] == 104
    world.simulator.world.bans.lift(ADA)
    await world.device.close()
    await world.device.log_in(0)


# Control


async def test_faults_over_http(world: World) -> None:
    control = SimulatorClient(world.simulator.describe()["control"])

    def work() -> None:
        fault = control.add_fault(Fault(Kind.LOSSY, Target(ADA, stanza="receipt"), When(count=5, probability=0.5)))
        other = control.add_fault("slow", {"number": "+" + ADA}, {"after_s": 60}, delay_s=2)
        listed = {one["id"]: one for one in control.faults()}
        assert listed[fault] == {
            "id": fault, "state": "active", "hits": 0, "kind": "lossy", "target": {"number": ADA, "stanza": "receipt"},
            "when": {"after_s": 0.0, "count": 5, "probability": 0.5},
        }  # fmt: skip
        assert listed[other]["state"] == "waiting" and listed[other]["delay_s"] == 2
        assert control.clear_faults(fault) == 1 and control.clear_faults() == 1 and control.faults() == []
        for body in ({"kind": "nothing"}, {"kind": "slow"}, {"kind": "lossy", "target": {"number": "x"}}):
            with pytest.raises(SimulatorError) as refused:
                control.call("POST", "/faults", body)
            assert refused.value.status == 400
        for path in ("/faults/99", "/faults/x"):
            with pytest.raises(SimulatorError) as unknown:
                control.call("DELETE", path)
            assert (unknown.value.status, unknown.value.code) == (404, "no_such_fault")
        control.add_fault("reset", {"number": ADA})
        hits, _ = control.log(kind="fault")
        assert [(one["what"], one["number"], one["device"]) for one in hits] == [("reset", ADA, 1)]
        assert control.bans() == [] and control.lift_bans() == 0 and control.lift_bans(ADA) == 0

    with contextlib.closing(control):
        await asyncio.to_thread(work)
