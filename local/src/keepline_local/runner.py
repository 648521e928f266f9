"""`up` and `demo`: start everything, look after it, stop everything."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from keepline_local import api_key, auto_scan, demo_limits, functions_table, logs, plan, run_file, scheduler
from keepline_local.emulators import FIRESTORE, PUBSUB, obtain
from keepline_local.emulators.data import export
from keepline_local.errors import LocalError
from keepline_local.eventarc.service import Eventarc
from keepline_local.lock import only_run
from keepline_local.paths import State
from keepline_local.plan import CONNECTORS, PROJECT, Plan
from keepline_local.screen import Screen
from keepline_local.supervisor import Change, Report, Supervisor
from keepline_local.tasks import Task

EXPORT_EVERY_S = 60.0
START_LIMIT_S = 300.0  # above what any single part may take, so that the part is the one to be blamed
REGISTERED_WAIT_S = 90.0

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Stopped in this order, each group at once: who sends first, what it sends to last.
_STOP_ORDER = (tuple(CONNECTORS), ("functions",), ("simulator", "pubsub"), ("firestore",))


class Stopped(Report):
    """Put among the reports when someone wants the run to end."""


class _NotEvenStarted(Exception):
    """Someone wants the run to end while the emulators are still being fetched."""


def run(kind: str, *, until_stdin_closes: bool = False) -> int:
    """Run until a signal comes (exit code 0) or a part fails for good (1)."""
    screen = Screen()
    state = State.chosen()
    try:
        with only_run(state, kind):
            return Runner(plan.make(kind, state), screen).run(until_stdin_closes=until_stdin_closes)
    except LocalError as error:
        screen.bad(error)
        return 1


class Runner:
    """One run."""

    def __init__(self, plan_: Plan, screen: Screen) -> None:
        self._plan = plan_
        self._screen = screen
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._supervisors: dict[str, Supervisor] = {}
        self._tasks: list[Task] = []
        self._key = ""
        self._eventarc: Eventarc | None = None
        self._fetching = False
        self._stop_asked = 0
        self._began = time.monotonic()

    def run(self, *, until_stdin_closes: bool) -> int:
        """Everything, from the first process to the last."""
        before = {number: signal.signal(number, self._on_signal) for number in _STOP_SIGNALS}
        if until_stdin_closes:
            threading.Thread(target=self._watch_stdin, daemon=True).start()
        try:
            self._prepare()
            self._start(*self._obtain_emulators())
            self._until_ready()
            self._until_stopped()
            return 0
        except _NotEvenStarted:
            return 0
        except LocalError as error:
            self._screen.bad(error)
            return 1
        finally:
            self._stop()
            for number, handler in before.items():
                signal.signal(number, handler)

    # Start

    def _prepare(self) -> None:
        state, folder = self._plan.state, self._plan.folder
        run_file.remove(state.run_json)
        logs.set_aside(state.logs)
        logs.to_file(state.log("runner"))
        if self._plan.demo:
            shutil.rmtree(folder, ignore_errors=True)  # a demo begins with nothing
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.update(self._plan.environment())
        self._key = api_key.load_or_make(state.api_key)

    def _obtain_emulators(self) -> tuple[Path, Path]:
        """Before anything starts, because the first time it may take minutes; a signal ends it at once."""
        self._screen.say(f"starting Keepline ({self._plan.kind}); logs are in {_short(self._plan.state.logs)}")
        self._fetching = True
        jars = obtain(FIRESTORE, self._screen.say), obtain(PUBSUB, self._screen.say)
        self._fetching = False
        self._began = time.monotonic()
        return jars

    def _start(self, firestore_jar: Path, pubsub_jar: Path) -> None:
        p = self._plan
        self._eventarc = Eventarc(
            PROJECT, functions_table.load(), p.folder / "events.sqlite", p.ports["eventarc"], p.url("functions")
        )
        for part in plan.parts(p, firestore_jar, pubsub_jar):
            self._supervisors[part.name] = Supervisor(part, self._supervisors, self._reports)
        for supervisor in self._supervisors.values():
            supervisor.start()

    def _until_ready(self) -> None:
        """Until every part is ready and the API knows the key; `LocalError` if a part fails."""
        waiting = set(self._supervisors)
        registered = self._register_in_the_background()
        deadline = self._began + START_LIMIT_S
        while waiting:
            report = self._next_report(deadline)
            if report is None:
                raise LocalError(f"Not ready within {START_LIMIT_S:.0f} s: {', '.join(sorted(waiting))}.")
            if isinstance(report, Stopped):
                return
            self._say(report)
            if report.change is Change.READY:
                waiting.discard(report.part)
        try:
            problem = registered.get(timeout=REGISTERED_WAIT_S)
        except queue.Empty:
            problem = LocalError(
                f"The emulators did not take what is registered with them in {REGISTERED_WAIT_S:.0f} s."
            )
        if problem is not None:
            raise problem
        self._start_tasks()
        self._write_run_file()
        self._tell_ready()

    def _register_in_the_background(self) -> queue.SimpleQueue[LocalError | None]:
        """Tell the emulators of the triggers and the API key as soon as they are there; what went wrong, or None, comes out."""
        done: queue.SimpleQueue[LocalError | None] = queue.SimpleQueue()

        def register() -> None:
            p = self._plan
            assert self._eventarc is not None
            try:
                self._eventarc.register(p.host("firestore"), p.host("pubsub"))
                api_key.register(PROJECT, self._key, p.tenant)
                if p.demo:
                    demo_limits.register(PROJECT, p.tenant)
            except LocalError as error:
                done.put(error)
            except Exception as error:  # noqa: BLE001 - told to the main thread, whatever it is
                done.put(LocalError(f"The emulators refused what is registered with them: {error!r}."))
            else:
                done.put(None)

        threading.Thread(target=register, name="register", daemon=True).start()
        return done

    def _start_tasks(self) -> None:
        p = self._plan
        functions = functions_table.load()
        self._tasks.append(Task("scheduler", lambda stop: scheduler.run(functions, PROJECT, stop)))
        self._tasks.append(Task("log limit", lambda stop: logs.keep_small(p.state.logs, stop)))
        if p.demo:
            self._tasks.append(Task("auto-scan", lambda stop: auto_scan.run(PROJECT, p.url("simulator"), stop)))
        else:
            self._tasks.append(Task("export", self._export_now_and_then))
        for task in self._tasks:
            task.start()

    # Run

    def _until_stopped(self) -> None:
        while not self._stop_asked:
            report = self._reports.get()
            if isinstance(report, Stopped):
                return
            self._say(report)
            if report.change in (Change.STARTED, Change.HEALED):
                self._write_run_file()

    def _next_report(self, deadline: float) -> Report | None:
        try:
            return self._reports.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return None

    def _say(self, report: Report) -> None:
        match report.change:
            case Change.READY:
                self._screen.say(f"  {report.part} is ready ({report.seconds:.1f} s)")
            case Change.ENDED:
                self._screen.warn(f"{report.error.sentence if report.error else report.part} It is started again.")
            case Change.HEALED:
                self._screen.good(f"{report.part} is ready again.")
            case Change.FAILED:
                assert report.error is not None
                raise report.error

    def _write_run_file(self) -> None:
        p = self._plan
        pids = {name: s.child.pid for name, s in self._supervisors.items() if s.child is not None}
        run_file.write(
            p.state.run_json,
            run_file.Run(
                api=p.url("api"),
                api_key=self._key,
                console=p.url("console"),
                simulator=p.url("simulator") if p.demo else None,
                firestore=p.host("firestore"),
                pids={"runner": os.getpid(), **pids},
                project=PROJECT,
                user_id=p.tenant,
                health={name: plan.health_url(p, name) for name in CONNECTORS},
                simulator_dir=str(p.simulator_dir) if p.demo else None,
            ),
        )

    def _tell_ready(self) -> None:
        p = self._plan
        where = {
            "firestore": p.host("firestore"),
            "pubsub": p.host("pubsub"),
            "simulator": f"{p.url('simulator')} (control)" if p.demo else "",
            "functions": f"{p.url('api')} (API), {p.url('console')} (console)",
            **{name: f"{plan.health_url(p, name)} ({region})" for name, region in CONNECTORS.items()},
        }
        rows = [
            [name, where[name], str(s.child.pid if s.child else ""), _short(s.part.log)]
            for name, s in self._supervisors.items()
        ]
        self._screen.table(["part", "where", "pid", "log"], rows)
        self._screen.good(f"Keepline is ready after {time.monotonic() - self._began:.1f} s: {p.url('api')}")
        self._screen.good(f"The console: {p.url('console')}/#key={self._key}")
        self._screen.say(
            f"The API key is in {_short(p.state.api_key)}; {_short(p.state.run_json)} tells programs where everything is. "
            "Ctrl-C stops it."
        )

    def _export_now_and_then(self, stop: threading.Event) -> None:
        while not stop.wait(EXPORT_EVERY_S):
            export(self._plan.host("firestore"), PROJECT, self._plan.exports)

    # Stop

    def _on_signal(self, *_: object) -> None:
        self._stop_asked += 1
        if self._fetching:
            raise _NotEvenStarted
        self._reports.put(Stopped("runner", Change.FAILED))
        if self._stop_asked > 1:  # whoever asks twice does not want to wait
            for supervisor in self._supervisors.values():
                supervisor.kill()

    def _watch_stdin(self) -> None:
        # Not through sys.stdin: a thread that holds its lock at the interpreter's end is a fatal error.
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    def _stop(self) -> None:
        run_file.remove(self._plan.state.run_json)
        if self._supervisors:
            self._screen.say("stopping")
        for task in self._tasks:
            task.stop()
        for group in _STOP_ORDER:
            if "functions" in group and self._eventarc is not None:
                self._eventarc.stop()
            if "firestore" in group and not self._plan.demo:
                self._export_at_the_end()
            _together([self._supervisors[name] for name in group if name in self._supervisors])
        if self._eventarc is not None:
            self._eventarc.close()
        if self._supervisors:
            self._screen.say("stopped")

    def _export_at_the_end(self) -> None:
        firestore = self._supervisors.get("firestore")
        if firestore is None or not firestore.ready.is_set() or firestore.child is None or not firestore.child.alive():
            return
        try:
            export(self._plan.host("firestore"), PROJECT, self._plan.exports)
        except LocalError as error:
            self._screen.bad(error)


def _together(supervisors: Iterable[Supervisor]) -> None:
    threads = [threading.Thread(target=supervisor.stop, daemon=True) for supervisor in supervisors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()  # `stop` has a limit: the part's grace, then SIGKILL


def _short(path: os.PathLike[str]) -> str:
    """Relative to the current folder where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
