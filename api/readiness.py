"""Which connections have something to read: the kernel tells each to one thread, and to no other until that asks."""

from __future__ import annotations

import select
import sys
from collections.abc import Sequence


class Readiness:
    """Any number of threads may wait at once."""

    def watch(self, number: int) -> None:
        """Begin to watch the socket with this file number."""
        raise NotImplementedError

    def watch_on(self, number: int) -> None:
        """Tell of it again; it was told of once."""
        raise NotImplementedError

    def watch_room(self, number: int) -> None:
        """Tell of it again once something can be written to it."""
        raise NotImplementedError

    def wait(self, seconds: float, most: int) -> Sequence[int]:
        """The file numbers of some sockets that have something to read or room for it, or whose other end is closed."""
        raise NotImplementedError


if sys.platform == "linux":

    class Epoll(Readiness):
        """Linux's."""

        _WANTED = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT

        def __init__(self) -> None:
            self._epoll = select.epoll()

        def watch(self, number: int) -> None:
            """As above."""
            self._epoll.register(number, self._WANTED)

        def watch_on(self, number: int) -> None:
            """As above."""
            self._epoll.modify(number, self._WANTED)

        def watch_room(self, number: int) -> None:
            """As above."""
            self._epoll.modify(number, select.EPOLLOUT | select.EPOLLONESHOT)

        def wait(self, seconds: float, most: int) -> Sequence[int]:
            """As above."""
            return [number for number, _ in self._epoll.poll(seconds, most)]

    make: type[Readiness] = Epoll

else:

    class Kqueue(Readiness):
        """That of macOS and the BSDs."""

        def __init__(self) -> None:
            self._queue = select.kqueue()

        def watch(self, number: int) -> None:
            """As above."""
            once = select.KQ_EV_ADD | select.KQ_EV_ONESHOT
            self._queue.control([select.kevent(number, select.KQ_FILTER_READ, once)], 0)

        def watch_on(self, number: int) -> None:
            """As above."""
            self.watch(number)

        def watch_room(self, number: int) -> None:
            """As above."""
            once = select.KQ_EV_ADD | select.KQ_EV_ONESHOT
            self._queue.control([select.kevent(number, select.KQ_FILTER_WRITE, once)], 0)

        def wait(self, seconds: float, most: int) -> Sequence[int]:
            """As above."""
            return [event.ident for event in self._queue.control(None, most, seconds)]

    make = Kqueue
