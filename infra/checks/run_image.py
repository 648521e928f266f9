"""Start what a dry build has made, from its files alone, and see that it lives, writes where it may, and stops when told.

    python -m infra.checks.run_image dist/image

Where the kernel lets us (namespaces of util-linux' `unshare`), the connector runs in a root of its own: the system's libraries,
Python and the image's files, everything read-only but the data folder; no other network than its own loopback, with a Firestore
emulator on it; as the image's user where we are root. Where it does not, the connector runs as it is: then what it has
written is looked for afterwards, and its connections while it runs. The line of JSON at the end says which of the two it was:
`isolation` is `namespaces` or `watched`.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.checks.dry_build import list_files
from keepline_local.emulators import FIRESTORE, firestore_emulator, obtain

HEALTHY_LIMIT_S = 40.0
STOP_LIMIT_S = 10.0  # what Cloud Run gives between SIGTERM and SIGKILL
_POLL_S = 0.1
_UNSHARE = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child")
_INSIDE = "inside-namespaces"
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


class NotRunning(Exception):
    """The connector did not do what it must. The message says what, with the end of its log."""


def permitted() -> list[str] | None:
    """How to get namespaces here: `unshare` with its options, or None if it is refused or missing."""
    for more in ([], ["--user", "--map-root-user"]):
        line = [*_UNSHARE, *more]
        if shutil.which("unshare") and not subprocess.run([*line, "true"], capture_output=True, check=False).returncode:
            return line
    return None


@dataclass
class Image:
    """A dry build's folder."""

    out: Path

    def __post_init__(self) -> None:
        self.out = self.out.resolve()
        self.about: dict[str, Any] = json.loads((self.out / "image.json").read_text())
        self.root = self.out / "root"
        self.data = Path(self.about["volumes"][0])
        self.keys = self.out / "session_keys.json"
        self.log = self.out / "connector.log"

    def places(self) -> list[Path]:
        """The folders of the image, but not its data."""
        return [place for place in self.root.iterdir() if place != self.data]

    def environment(self, firestore: str) -> dict[str, str]:
        """What a platform would set, and nothing of ours."""
        return {
            **self.about["environment"],
            "FIRESTORE_EMULATOR_HOST": firestore,
            "KEEPLINE_PROJECT": "demo-image",
            "KEEPLINE_CONNECTOR_ID": "connector-1",
            "KEEPLINE_REGION": "local-1",
            "KEEPLINE_KEY_FILE": str(self.keys),
        }

    def python_prefix(self) -> Path:
        """Where the Python lies that the image's environment was made with; in the real image it is the base's."""
        home = re.search(r"^home = (.*)$", next(self.root.rglob("pyvenv.cfg")).read_text(), re.MULTILINE)
        assert home is not None
        return Path(home[1]).resolve().parent

    def make_keys(self) -> None:
        """A key file, with the image's own command."""
        self.keys.unlink(missing_ok=True)
        command = [self.about["command"][0], "-m", "keepline_connector.key_file", "create", str(self.keys)]
        subprocess.run(command, env=self.about["environment"], check=True, capture_output=True)


def run(image: Image, inside: list[str]) -> dict[str, Any]:
    """Start, wait for health, stop. `inside` is put in front of the command: how to get into the image's own root."""
    before = set(list_files(image.root, image.places()))
    with firestore_emulator() as firestore, image.log.open("wb") as log:
        environment = image.environment(firestore)
        started = time.monotonic()
        process = subprocess.Popen(
            [*inside, *image.about["command"]], env=environment, cwd="/", stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _until_healthy(image, process, inside, environment)
            healthy_s = time.monotonic() - started
            beyond = [] if inside else sorted(set(_beyond_loopback(process.pid)))
            stopping = time.monotonic()
            process.send_signal(signal.Signals[image.about["stop_signal"]])
            code = process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise NotRunning(f"not stopped within {STOP_LIMIT_S:.0f} s\n{image.log.read_text()[-3000:]}") from None
        finally:
            process.kill()
            process.wait()
    return {
        "healthy_s": round(healthy_s, 1),
        "stopped_s": round(time.monotonic() - stopping, 1),
        "exit_code": code,
        "changed": sorted(before ^ set(list_files(image.root, image.places()))),
        "beyond_loopback": beyond,
    }


def _until_healthy(image: Image, process: subprocess.Popen[bytes], inside: list[str], env: dict[str, str]) -> None:
    """By the image's own health check."""
    deadline = time.monotonic() + HEALTHY_LIMIT_S
    while subprocess.run(
        [*inside, *image.about["health"]], env=env, cwd="/", capture_output=True, check=False
    ).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            raise NotRunning(f"not healthy; exit code {process.poll()}\n{image.log.read_text()[-3000:]}")
        time.sleep(_POLL_S)


def _beyond_loopback(pid: int) -> Iterator[str]:
    """The connections of a process and its children that leave this machine, from /proc."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for child in children:
        yield from _beyond_loopback(int(child))
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets.update(re.findall(r"socket:\[(\d+)\]", str(descriptor.readlink())))
        except OSError:
            continue  # closed meanwhile
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            address = words[2].split(":")[0]
            # 127.x in either family, or none: it listens.
            if (
                words[9] in sockets
                and not address.endswith("7F")
                and set(address) != {"0"}
                and not address.endswith("01000000")
            ):
                yield words[2]


def _in_namespaces(image: Image) -> dict[str, Any]:
    """With namespaces of our own already: the loopback up, a root made of what the image may see, and the connector in it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))
    view = image.out / "view"
    view.mkdir(exist_ok=True)
    _mount("-t", "tmpfs", "-o", "mode=0755", "keepline", str(view))
    system = [Path(f"/{name}") for name in ("usr", "etc", "bin", "sbin", "lib", "lib64")]
    for place in [*system, image.python_prefix(), *image.places(), image.keys]:
        _show(view, place, writable=False)
    _show(view, image.data, writable=True)
    _show(view, Path("/dev"), writable=True)
    (view / "proc").mkdir()
    _mount("-t", "proc", "proc", str(view / "proc"))
    _mount("-o", "remount,bind,ro", str(view))
    inside = [shutil.which("chroot") or "/usr/sbin/chroot"]
    as_root = Path("/proc/self/uid_map").read_text().split()[2] != "1"  # really root, and not by a map of one number
    if as_root:
        user, group = map(int, image.about["user"].split(":"))
        for path in (image.data, image.keys):
            os.chown(path, user, group)
        inside.append(f"--userspec={user}:{group}")
    else:
        user = os.getuid()
    found = run(image, [*inside, str(view)])
    return {"isolation": "namespaces", "user": user, **found}


def _show(view: Path, place: Path, *, writable: bool) -> None:
    """Let `place` be seen in the view, at its own path."""
    target = view / str(place).lstrip("/")
    if place.is_symlink():  # such as /bin, where it is a part of /usr
        target.symlink_to(place.readlink())
        return
    if not place.exists():
        return
    if place.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _mount("--rbind" if place == Path("/dev") else "--bind", str(place), str(target))
    if not writable:
        _mount("-o", "remount,bind,ro", str(target))


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder of a dry build")
    parser.add_argument("--" + _INSIDE, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    image = Image(options.out)
    try:
        if options.inside_namespaces:
            print(json.dumps(_in_namespaces(image)))
            return 0
        obtain(FIRESTORE)  # while there is a network
        image.make_keys()
        shutil.rmtree(image.data)  # of an earlier run, perhaps by another user
        image.data.mkdir()
        unshare = permitted()
        if unshare is not None:
            again = [sys.executable, "-m", "infra.checks.run_image", "--" + _INSIDE, str(image.out)]
            return subprocess.run([*unshare, *again], check=False).returncode
        print(json.dumps({"isolation": "watched", "user": os.getuid(), **run(image, [])}))
    except NotRunning as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
