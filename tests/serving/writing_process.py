"""A process that appends events from several threads, and tells each id after it is acknowledged. Run by tests."""

from __future__ import annotations

import sys
import threading

from penchant.serving.events import Event
from penchant.serving.store import FeedbackStore

THREADS = 4


def main(url: str) -> None:
    store, telling = FeedbackStore.open(url), threading.Lock()

    def write(thread: int) -> None:
        for n in range(1_000_000):
            store.append([Event(f"{thread}-{n}", thread, n, 3.0, n)])
            with telling:
                print(f"{thread}-{n}", flush=True)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1])
