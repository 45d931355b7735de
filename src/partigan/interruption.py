"""Ctrl-C and SIGTERM that let what is being made be finished first."""

from __future__ import annotations

import os
import signal
import threading

FINISHING = "finishing the chunks that are being made; once more ends at once"


class Interruption:
    """Ctrl-C and SIGTERM are noted, so that a job can end between two pieces of its work; a second one ends it at once.

    Args:
        said: what a first one is answered with, a line on standard error; empty = nothing.

    Attributes:
        requested: whether the job was asked to end.
    """

    def __init__(self, said: str = "") -> None:
        self.said, self.requested = said, False

    def __enter__(self) -> Interruption:
        main = threading.current_thread() is threading.main_thread()
        self._before = {s: signal.signal(s, self._request) for s in (signal.SIGINT, signal.SIGTERM) if main}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, *_: object) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        if self.said:
            os.write(2, f"\n{self.said}\n".encode())  # a display may hold the lock of the stream
