"""Ctrl-C and SIGTERM: end after the step at hand, with everything saved."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

TERMINATED = 128 + signal.SIGTERM  # the exit code
_GRACE = 16.0  # seconds that a step and its checkpoint may take after SIGTERM


class Terminated(BaseException):
    """SIGTERM has ended the training; all is saved. Bears the sentence to say."""


class Termination:
    """Hears SIGTERM, as a batch system sends it before it takes a machine away.

    Python's own handler would wait for TensorFlow to come back from C++, which takes
    half a minute while it optimizes a graph; here a thread is woken at once. If nothing is
    unsaved it ends the process; otherwise it leaves the training some seconds to end
    its step and to save. To be used as a context, in the main thread.

    Attributes:
        asked: whether SIGTERM came.
        unsaved: whether steps were made since the last checkpoint.
        sentence: how to go on, for the last words.
    """

    def __init__(self) -> None:
        self.asked = False
        self.unsaved = False
        self.sentence = "Nothing was trained yet."
        self._sockets: tuple[socket.socket, ...] = ()

    def __enter__(self) -> "Termination":
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self._sockets = ours, theirs
        self._handler = signal.getsignal(signal.SIGTERM)
        self.listen()
        self._wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._listen, args=(ours,), daemon=True).start()
        return self

    def listen(self) -> None:
        """Takes SIGTERM back from TensorFlow, which hears it alone once workers are connected."""
        if self._sockets:
            # A handler must be there, or the process ends without being asked.
            signal.signal(signal.SIGTERM, lambda number, frame: None)

    def __exit__(self, *exception) -> None:
        signal.set_wakeup_fd(self._wakeup)
        signal.signal(signal.SIGTERM, self._handler)
        self._sockets[1].close()

    def _listen(self, listener: socket.socket) -> None:
        with listener:
            while numbers := listener.recv(64):
                if signal.SIGTERM in numbers and not self.asked:
                    self.asked = True
                    self._end()

    def _end(self) -> None:
        if not self.unsaved:
            self._exit(f"SIGTERM: {self.sentence}")
        os.write(2, b"\nSIGTERM: saving after this step.\n")
        timer = threading.Timer(
            _GRACE, self._exit, [f"SIGTERM: this step takes too long to end. {self.sentence}"]
        )
        timer.daemon = True
        timer.start()

    @staticmethod
    def _exit(sentence: str) -> None:
        os.write(2, f"\n{sentence}\n".encode())
        os._exit(TERMINATED)


class Interrupt:
    """Notes Ctrl-C, for the training to end after its step; a second one ends it at once.

    Python loses a KeyboardInterrupt that comes while it is called back from C, as when
    HDF5 writes a model; a note that is read between two steps is not lost. To be used
    as a context around ``fit``.

    Attributes:
        asked: whether Ctrl-C came.
    """

    def __enter__(self) -> "Interrupt":
        self.asked = False
        self._before = None
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *exception) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number, frame) -> None:
        self.asked = True
        # rich takes a lock that the interrupted line may hold.
        os.write(2, b"\nCtrl-C: ending after this step; once more ends at once.\n")
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def interruptible() -> Iterator[None]:
    """Lets Ctrl-C end the process where Python would hear it only after a long call of C++."""
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_DFL) if is_main else None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
