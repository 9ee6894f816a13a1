"""Dynamic batching: the images of all requests, decoded by threads, answered by one engine.

Decoding and the engine release Python's lock, so that the thread of the network serves others
meanwhile.
"""

import os
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from deepfashion_tf.data.headers import UNREADABLE
from deepfashion_tf.inference.batch import Batch
from deepfashion_tf.inference.items import Item
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.serving.web.uploads import size_fault

_THREADS = os.cpu_count() or 1
_AT_ONCE = 16  # images that one call of the decoder gets: a call an image costs more than decoding
_NEWEST = 0.2  # weight of the last batch in the speed


@dataclass(eq=False)
class Work:
    """The images of a request.

    Attributes:
        items: the images.
        done: is called from the engine's thread when all are answered, or cannot be.
        found: what became of each: None, its crop, why it cannot be read, the probabilities of
            its batch and its row there, or the exception that the engine ended with.
        left: how many have to be answered.
        is_dropped: nobody waits for it any more.
    """

    items: Sequence[Item]
    done: Callable[["Work"], None]
    found: list = field(init=False)
    left: int = field(init=False)
    is_dropped: bool = False

    def __post_init__(self) -> None:
        self.found, self.left = [None] * len(self.items), len(self.items)

    def batch(self) -> Batch:
        """Returns the answers as a predictor gives them.

        Raises:
            Exception: what the engine ended with.
        """
        for found in self.found:
            if isinstance(found, Exception):
                raise found
        faults = [found if isinstance(found, str) else None for found in self.found]
        rows = [found for found in self.found if not isinstance(found, str)]
        names = rows[0][0] if rows else ()
        probabilities = {name: np.stack([of[name][row] for of, row in rows]) for name in names}
        return Batch(list(self.items), faults, np.empty(0), probabilities)


class _Waiting:
    """Images between two stages: what comes is taken by several at once."""

    def __init__(self) -> None:
        self._images: deque[tuple[Work, int]] = deque()
        self._changed, self._is_closed = threading.Condition(), False

    def put(self, images: Sequence[tuple[Work, int]]) -> None:
        with self._changed:
            self._images.extend(images)
            self._changed.notify_all()

    def take(
        self, most: int, wanted: int = 1, delay: float = 0.0, sharers: int = 1
    ) -> list[tuple[Work, int]]:
        """Takes images; none once the queue is closed and empty.

        Args:
            most: images.
            wanted: images that are waited for once there is one.
            delay: seconds that they are waited for.
            sharers: threads that take from here, each an equal part.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._images or self._is_closed)
            if len(self._images) < wanted:
                self._changed.wait_for(lambda: len(self._images) >= wanted, delay)
            count = min(most, -(-len(self._images) // sharers))
            return [self._images.popleft() for _ in range(count)]

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


class Batcher:
    """Gathers images of several requests into batches.

    A batch is complete with `batch_size` images. A smaller one waits `delay` seconds for more,
    but only until it is as large as the batch before: whoever asks alone never waits.

    Args:
        predictor: decodes and answers.
        batch_size: images at once, at most.
        delay: in seconds.
        on_batch: is called with the size of each batch and the seconds that it took.

    Attributes:
        speed: images a second of the last batches; 0 = there was none.
    """

    def __init__(
        self,
        predictor: Predictor,
        batch_size: int,
        delay: float,
        on_batch: Callable[[int, float], None] = lambda size, seconds: None,
    ) -> None:
        self._predictor, self._size, self._delay = predictor, batch_size, delay
        self._on_batch, self.speed = on_batch, 0.0
        self._encoded, self._decoded = _Waiting(), _Waiting()
        self._decoders = [
            threading.Thread(target=self._decode, daemon=True) for _ in range(_THREADS)
        ]
        self._engine = threading.Thread(target=self._answer, name="engine", daemon=True)
        for thread in (*self._decoders, self._engine):
            thread.start()

    @property
    def is_alive(self) -> bool:
        return all(thread.is_alive() for thread in (*self._decoders, self._engine))

    def submit(self, work: Work) -> None:
        """Queues the images of a request, at least one."""
        self._encoded.put([(work, place) for place in range(len(work.items))])

    def end(self) -> None:
        """Ends the threads once all that is queued is answered."""
        self._encoded.close()
        for thread in self._decoders:
            thread.join()
        self._decoded.close()
        self._engine.join()

    def _decode(self) -> None:
        while some := self._encoded.take(_AT_ONCE, sharers=_THREADS):
            wanted = [(work, place) for work, place in some if not work.is_dropped]
            found = self._crops([work.items[place] for work, place in wanted])
            for (work, place), crop in zip(wanted, found, strict=True):
                work.found[place] = crop
            self._decoded.put(some)

    def _crops(self, items: list[Item]) -> list[str | np.ndarray]:
        faults = (size_fault(item.encoded or b"") for item in items)
        try:
            return self._predictor.crops(
                [replace(item, fault=fault) for item, fault in zip(items, faults, strict=True)]
            )
        # A defect of the decoder's must not fail the images of others.
        except Exception:
            if len(items) == 1:
                traceback.print_exc()
                return [UNREADABLE]
        return [self._crops([item])[0] for item in items]

    def _answer(self) -> None:
        last = 1
        while some := self._decoded.take(self._size, last, self._delay):
            last = len(some)
            ready = [
                (work, place)
                for work, place in some
                if isinstance(work.found[place], np.ndarray) and not work.is_dropped
            ]
            if ready:
                self._answer_batch(ready)
            for work, _ in some:
                work.left -= 1
                if not work.left:
                    work.done(work)

    def _answer_batch(self, ready: list[tuple[Work, int]]) -> None:
        began = time.perf_counter()
        try:
            found = self._predictor.answer(np.stack([work.found[place] for work, place in ready]))
        except Exception as error:
            traceback.print_exc()
            for work, place in ready:
                work.found[place] = error
            return
        for row, (work, place) in enumerate(ready):
            work.found[place] = (found, row)
        seconds = time.perf_counter() - began
        speed = len(ready) / seconds
        self.speed += (speed - self.speed) * (_NEWEST if self.speed else 1)
        self._on_batch(len(ready), seconds)
