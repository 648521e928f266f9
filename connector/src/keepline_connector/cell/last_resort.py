"""The fence behind the fence: the kernel ends this process if it has not cut its sockets by itself when its lease is over.

A process that is stopped (SIGSTOP, a frozen container, a machine too busy to run it) cannot look at its clock. What it handed to
the kernel would still leave, and it may wake between a look at the clock and the line after it. So a timer is left with the
kernel, which is moved with every renewal and sends SIGKILL, the one signal that ends a stopped process as well. Every socket to
WhatsApp then ends with a reset (`path.watch_path`). A cell may be killed at any time: its supervisor starts another one.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal

from keepline.adapters.system_clock import MONOTONIC_CLOCK
from keepline_connector.cell.path import say_missing

# How long the process has for cutting its sockets by itself. Together with it the lease's safety margin must cover the way of
# the last bytes (keepline.domain.lease).
GRACE_S = 0.1
_SIGEV_SIGNAL = 0
_TIMER_ABSTIME = 1


class _Sigevent(ctypes.Structure):
    """struct sigevent of Linux, 64 bytes (sigevent(7))."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_char * 48),
    )


class _Itimerspec(ctypes.Structure):
    """struct itimerspec: an interval and a time, each in seconds and nanoseconds."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class LastResort:
    """One timer of this process. Where the system has none, that is said once, and the fence is on its own."""

    def __init__(self) -> None:
        self._timer: ctypes.c_void_p | None = None
        try:
            self._libc = ctypes.CDLL(None, use_errno=True)
            timer = ctypes.c_void_p()
            wanted = _Sigevent(None, signal.SIGKILL, _SIGEV_SIGNAL)
            self._check(self._libc.timer_create(MONOTONIC_CLOCK, ctypes.byref(wanted), ctypes.byref(timer)))
            self._timer = timer
        except (AttributeError, OSError):
            say_missing("timer_create")

    def end_at(self, deadline_s: float) -> None:
        """Kill this process at `deadline_s` of the lease clock and the grace after it, unless this is called again. inf: never.

        A deadline that is over by more than the grace kills at once.
        """
        if self._timer is None:
            return
        if math.isinf(deadline_s):
            at = _Itimerspec(0, 0, 0, 0)
        else:
            whole_s = math.floor(deadline_s + GRACE_S)
            # A time of nothing at all would switch the timer off.
            at = _Itimerspec(0, 0, whole_s, max(1, int((deadline_s + GRACE_S - whole_s) * 1e9)))
        self._check(self._libc.timer_settime(self._timer, _TIMER_ABSTIME, ctypes.byref(at), None))

    def _check(self, returned: int) -> None:
        if returned != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
