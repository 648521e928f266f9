"""A cell that does nothing until its connector's pipe closes, and that minds no SIGTERM."""

import signal
import sys


def main():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdin.read()


if __name__ == "__main__":
    main()
