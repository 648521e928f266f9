"""The parts of a run: which processes, with which environment, in which order, ready when."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from keepline.adapters.key_file import create_key_file
from keepline.domain import webhook_signing
from keepline.domain.webhook_signing import SECRET_BYTES
from keepline_local import functions_table, loopback_http
from keepline_local.emulators import FIRESTORE, PUBSUB
from keepline_local.emulators.commands import command, serves
from keepline_local.emulators.data import latest
from keepline_local.errors import LocalError
from keepline_local.functions_table import USUAL_ACCOUNT, Function
from keepline_local.paths import State, repository
from keepline_local.ports import LOOPBACK, free_port, require_free
from keepline_local.recovery_control import PATH as RECOVERIES
from keepline_local.supervisor import Launch, Part

PROJECT = "demo-keepline"  # Firebase's tools never take a project whose name begins with `demo-` for a real one
CONNECTORS = {"connector-1": "local-1", "connector-2": "local-2"}

# Asked for with these variables; 0 asks for any free port.
FIXED_PORTS = {"api": ("KEEPLINE_PORT", 8080), "console": ("KEEPLINE_CONSOLE_PORT", 5000)}
SIMULATOR_PORT = ("KEEPLINE_SIMULATOR_PORT", 8090)

# The service account of the functions that watch, by which infra/functions.json names them.
WATCH = "watch"
EMULATOR_GRACE_S = 3.0
FUNCTIONS_GRACE_S = 5.0
WARM_UP_TIMEOUT_S = 10.0
PORT_MAX = 65_535


@dataclass(frozen=True)
class Plan:
    """Everything decided before the first process starts."""

    kind: str
    state: State
    ports: dict[str, int]
    recovery_secret: str = field(repr=False)
    """Signs what recovery asks of the run's supervisor, made anew for each run."""

    @property
    def demo(self) -> bool:
        return self.kind == "demo"

    @property
    def tenant(self) -> str:
        return "demo" if self.demo else "local"

    @property
    def folder(self) -> Path:
        """What this kind of run keeps."""
        return self.state.kind(self.kind)

    @property
    def exports(self) -> Path:
        return self.folder / "firestore"

    @property
    def session_keys(self) -> Path:
        """What protects the stored sessions of this kind of run."""
        return self.folder / "session_keys.json"

    @property
    def simulator_dir(self) -> Path:
        return self.folder / "simulator"

    def host(self, port: str) -> str:
        return f"{LOOPBACK}:{self.ports[port]}"

    def url(self, port: str) -> str:
        return f"http://{self.host(port)}"

    def environment(self) -> dict[str, str]:
        """What every part of ours gets."""
        no_proxy = ",".join(
            filter(None, [os.environ.get("NO_PROXY", os.environ.get("no_proxy", "")), LOOPBACK, "localhost"])
        )
        return {
            "KEEPLINE_PROJECT": PROJECT,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "FIRESTORE_EMULATOR_HOST": self.host("firestore"),
            "PUBSUB_EMULATOR_HOST": self.host("pubsub"),
            "KEEPLINE_API_URL": self.url("api"),
            # The emulators are reached directly, whatever proxy the machine has for the world outside.
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
        }


def make(kind: str, state: State) -> Plan:
    """Choose the ports; `LocalError` names one that is taken."""
    ports = {}
    fixed = dict(FIXED_PORTS) | ({"simulator": SIMULATOR_PORT} if kind == "demo" else {})
    for name, (variable, usual) in fixed.items():
        ports[name] = _chosen(variable, usual)
    for name in ("firestore", "pubsub", "eventarc", "functions", WATCH, "recovery", *CONNECTORS):
        ports[name] = free_port()
    return Plan(kind, state, ports, webhook_signing.new_secret(secrets.token_bytes(SECRET_BYTES)).text)


def parts(plan: Plan, firestore_jar: Path, pubsub_jar: Path) -> list[Part]:
    """In the order of their start; what does not wait for another starts at once."""
    emulators = [_firestore(plan, firestore_jar), _pubsub(plan, pubsub_jar)]
    simulator = [_simulator(plan)] if plan.demo else []
    # Whoever watches the API must not hang with it.
    watch = [_watch(plan)] if any(f.account == WATCH for f in functions_table.load()) else []
    return [*emulators, *simulator, _functions(plan), *watch, *(_connector(plan, name) for name in CONNECTORS)]


def takes_events_at(plan: Plan, function: Function) -> str:
    """The URL at which a function takes events."""
    return f"{plan.url(WATCH if function.account == WATCH else 'functions')}/{function.name}"


def _firestore(plan: Plan, jar: Path) -> Part:
    port = plan.ports["firestore"]
    rules = repository() / "infra" / "firestore.rules"

    def launch() -> Launch:
        return Launch(
            command(
                FIRESTORE,
                jar,
                port,
                rules=rules if rules.is_file() else None,
                functions=plan.host("eventarc"),
                seed=None if plan.demo else latest(plan.exports),
            )
        )

    return _emulator("firestore", plan, port, launch)


def _pubsub(plan: Plan, jar: Path) -> Part:
    port = plan.ports["pubsub"]
    return _emulator("pubsub", plan, port, lambda: Launch(command(PUBSUB, jar, port)))


def _emulator(name: str, plan: Plan, port: int, launch: Callable[[], Launch]) -> Part:
    # Started in the log folder, because emulators leave debug logs of their own where they are started.
    plan.state.logs.mkdir(parents=True, exist_ok=True)
    return Part(name, launch, lambda: serves(port), plan.state.log(name), grace_s=EMULATOR_GRACE_S, cwd=plan.state.logs)


def _simulator(plan: Plan) -> Part:
    ready_file = plan.simulator_dir / "simulator.json"
    line = [
        *(sys.executable, "-m", "simulator", "--every-number-exists"),
        *("--control-port", str(plan.ports["simulator"]), "--proxy-port", "0", "--dir", str(plan.simulator_dir)),
    ]
    return Part(
        "simulator", lambda: Launch(line), ready_file.is_file, plan.state.log("simulator"), grace_s=EMULATOR_GRACE_S
    )


def _functions(plan: Plan) -> Part:
    line = [
        *(sys.executable, "-m", "keepline_local.functions_host"),
        *("--api-port", str(plan.ports["api"]), "--events-port", str(plan.ports["functions"])),
        *("--console-port", str(plan.ports["console"]), "--account", USUAL_ACCOUNT, "--user", plan.tenant),
        *(("--simulator", plan.host("simulator")) if plan.demo else ()),
    ]

    def ready() -> bool:
        if not (loopback_http.answers(plan.url("functions")) and serves(plan.ports["firestore"])):
            return False
        # The first request makes the API import and connect what it needs, so that no user waits for it.
        return loopback_http.answers(f"{plan.url('api')}/health", below=600, timeout_s=WARM_UP_TIMEOUT_S)

    # It starts without waiting for an emulator, so that its imports overlap with their start.
    return Part(
        "functions",
        lambda: Launch(line, plan.environment() | _sealing(plan)),
        ready,
        plan.state.log("functions"),
        restarts=True,
        grace_s=FUNCTIONS_GRACE_S,
    )


def _watch(plan: Plan) -> Part:
    """The functions that watch the others, in a process of their own, as in the cloud each function has a container."""
    line = [
        *(sys.executable, "-m", "keepline_local.functions_host"),
        *("--events-port", str(plan.ports[WATCH]), "--account", WATCH),
    ]
    return Part(
        WATCH,
        lambda: Launch(line, plan.environment() | _sealing(plan) | _recovery(plan)),
        lambda: loopback_http.answers(plan.url(WATCH)),
        plan.state.log(WATCH),
        restarts=True,
        grace_s=FUNCTIONS_GRACE_S,
    )


def _connector(plan: Plan, name: str) -> Part:
    health = health_url(plan, name)
    module = "keepline_local.simulated_connector" if plan.demo else "keepline_connector"

    def launch() -> Launch:
        env = plan.environment() | _sealing(plan)
        env |= {
            "KEEPLINE_CONNECTOR_ID": name,
            "KEEPLINE_REGION": CONNECTORS[name],
            "KEEPLINE_DATA_DIR": str(plan.folder / name),
            "KEEPLINE_HEALTH_PORT": str(plan.ports[name]),
            "KEEPLINE_PROFILE": os.environ.get("KEEPLINE_PROFILE", "extreme"),
        }
        if plan.demo:
            about = json.loads((plan.simulator_dir / "simulator.json").read_text())
            env |= {
                "KEEPLINE_UPSTREAM_PROXY": about["proxy"],
                "SSL_CERT_FILE": about["ca"],
                "KEEPLINE_SIMULATOR_DIR": str(plan.simulator_dir),
            }
        return Launch([sys.executable, "-m", module], env)

    after = ("firestore", "simulator") if plan.demo else ("firestore",)
    return Part(name, launch, lambda: loopback_http.answers(health), plan.state.log(name), after=after, restarts=True)


def _sealing(plan: Plan) -> dict[str, str]:
    """What functions and connectors share: a key file to seal with, made the first time, and a folder for messages' files."""
    with contextlib.suppress(FileExistsError):
        create_key_file(plan.session_keys)
    # On one's own machine a proxy on the same machine or network is nothing to be protected from.
    return {
        "KEEPLINE_KEY_FILE": str(plan.session_keys),
        "KEEPLINE_PRIVATE_ADDRESSES": "allow",
        "KEEPLINE_MEDIA_DIR": str(plan.folder / "media"),
    }


def _recovery(plan: Plan) -> dict[str, str]:
    """Who restarts what hangs here: the runner itself, unless somebody has said otherwise."""
    return {
        "KEEPLINE_RECOVERY": os.environ.get("KEEPLINE_RECOVERY") or plan.url("recovery") + RECOVERIES,
        "KEEPLINE_RECOVERY_SECRET": plan.recovery_secret,
    }


def health_url(plan: Plan, connector: str) -> str:
    return f"{plan.url(connector)}/health"


def _chosen(variable: str, usual: int) -> int:
    text = os.environ.get(variable, "") or str(usual)
    if not text.isdigit() or int(text) > PORT_MAX:
        raise LocalError(f"{variable}={text} is no port (0 to {PORT_MAX}; 0 takes any free one)")
    port = int(text)
    if port == 0:
        return free_port()
    require_free(port, variable)
    return port
