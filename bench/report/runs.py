"""What is measured for the report: one command each, which ends with its figures in JSON, and with 1 when it misses a goal."""

from __future__ import annotations

from dataclasses import dataclass

SEED = 7


@dataclass(frozen=True)
class Run:
    """`target` is a script, or a module. `full` and `quick` are its arguments: the same shape, smaller counts.

    `quick` is None for what takes too long in any shape: then the figures of the last full run stay.
    """

    name: str
    what: str
    target: str
    full: tuple[str, ...]
    quick: tuple[str, ...] | None
    limit_s: float
    seeded: bool = True

    def arguments(self, *, quick: bool, seed: int) -> list[str]:
        """What follows `python`."""
        target = [self.target] if self.target.endswith(".py") else ["-m", self.target]
        return [*target, *((self.quick or ()) if quick else self.full), *(["--seed", str(seed)] if self.seeded else [])]

    def command(self, *, quick: bool, seed: int) -> str:
        """As somebody types it."""
        return " ".join(["python", *self.arguments(quick=quick, seed=seed)])


# In this order: what needs no other process first, what takes longest last.
RUNS = (
    Run("costs", "operations and list prices", "bench.costs", (), (), 60, seeded=False),
    Run(
        "year",
        "a year of faults in virtual time",
        "tests.simulation.year",
        ("--rounds", "10"),
        ("--rounds", "2"),
        1_800,
    ),
    Run(
        "long_run",
        "simulated hours with random faults",
        "tests.simulation.long_run",
        ("--hours", "10000"),
        ("--hours", "500"),
        900,
        seeded=False,
    ),
    Run(
        "failover",
        "a simulated ring of connectors in two regions",
        "tests.simulation.failover",
        ("--worlds", "130"),
        ("--worlds", "5"),
        900,
        seeded=False,
    ),
    Run(
        "wire",
        "a message's way, beside neonize called directly",
        "bench/accept_to_wire.py",
        (),
        ("--samples", "10"),
        600,
        seeded=False,
    ),
    Run(
        "sessions",
        "linked devices of a connector",
        "bench/sessions.py",
        ("--devices", "10", "100", "200"),
        ("--devices", "10", "--rest-s", "5"),
        1_800,
        seeded=False,
    ),
    Run(
        "restore",
        "connectors killed with their disks",
        "bench/restore.py",
        (),
        ("--rounds", "2", "--accounts", "5"),
        1_800,
        seeded=False,
    ),
    Run(
        "recovery",
        "services that hang or die",
        "tests.chaos.recovery",
        ("--runs", "20"),
        ("--runs", "3"),
        1_800,
    ),
    Run(
        "api_load",
        "100 and 1,000 users of the API",
        "bench/api_load.py",
        (),
        ("--seconds", "5"),
        900,
        seeded=False,
    ),
    Run(
        "compare", "Keepline and the baseline, the same faults", "bench.compare", ("--repeat", "3"), ("--quick",), 3_600
    ),
    Run(
        "chaos",
        "each fault by itself, with and without a standby",
        "tests.chaos.faults",
        ("--repeat", "2"),
        None,
        5_400,
    ),
    Run(
        "soak",
        "everything at once",
        "tests.chaos.soak",
        ("--minutes", "30"),
        ("--minutes", "0.5"),
        3_600,
    ),
    # The emulator holds half the peak for some ten minutes (decision 41 says why), a quarter for thirty.
    Run(
        "sustained",
        "half the peak",
        "tests.chaos.soak",
        ("--calm", "--minutes", "10"),
        ("--calm", "--minutes", "0.5"),
        3_600,
    ),
    Run(
        "lasting",
        "a quarter of the peak, for long",
        "tests.chaos.soak",
        ("--calm", "--minutes", "30", "--share", "0.25"),
        None,
        3_600,
    ),
)
