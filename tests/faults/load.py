"""The load: tasks of every sort, submitted all the time; what was accepted is written down here, outside the system."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.faults.stage import Stage

QUICK = "def f(token):\n    return token\n"
SLOW = """
def f(token):
    import datetime
    end = datetime.datetime.now() + datetime.timedelta(seconds=1)
    while datetime.datetime.now() < end:
        pass
    return token
"""
RETRY = {"max": 20, "backoff": 0.5, "factor": 1.5, "max_delay": 3}
#: Calls whose other side never comes to an end.
HOSTILE = {"call hang", "call drip"}
ENDED = {"succeeded", "failed", "timed_out", "stopped", "lost", "expired"}


@dataclass
class Accepted:
    """A task that was answered with 201."""

    id: str
    token: str
    sort: str
    #: `stop` or `delete` where somebody asked for it.
    asked: str = ""
    #: What it looked like when it was first seen ended.
    ended: tuple[Any, ...] = ()


def body_of(sort: str, token: str, sink: str) -> dict[str, Any]:
    """A submission of this sort."""
    body: dict[str, Any] = {"name": f"{sort} {token}", "task_type": "immediate", "tags": [sort]}
    if sort.startswith("code"):
        source = SLOW if sort == "code slow" else QUICK
        body |= {"function_code": source, "function_name": "f", "args": [token], "timeout": 30}
    else:
        path = {"call slow": "slow", "call flaky": "flaky", "call hang": "hang", "call drip": "drip"}.get(
            sort, "effect"
        )
        body |= {"api_url": f"{sink}/{path}/{token}", "timeout": 3 if sort in HOSTILE else 20}
    if sort == "call flaky":
        body["retry"] = RETRY
    if sort in ("call later", "code later"):
        body |= {"task_type": "delayed", "delay_seconds": 2}
    return body


#: Sorts of tasks with how often they come.
SORTS = {
    "call": 40,
    "call slow": 5,
    "call flaky": 10,
    "call later": 10,
    "call hang": 2,
    "call drip": 2,
    "code": 25,
    "code slow": 2,
    "code later": 8,
}


@dataclass
class Load:
    """Submits `rate` tasks a second until it is told to end."""

    stage: Stage
    rate: float
    seed: int
    accepted: list[Accepted] = field(default_factory=list)
    #: Submissions without an answer: nobody knows whether these were stored.
    unanswered: int = 0
    refused: int = 0
    slowest_answer: float = 0.0
    changed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._submit, args=(n,), daemon=True) for n in range(4)]
        self._threads.append(threading.Thread(target=self._look, daemon=True))

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Submit no more."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _submit(self, number: int) -> None:
        dice = random.Random(f"{self.seed} {number}")
        step, due = 4 / self.rate, time.monotonic()
        for count in range(10**9):
            due = max(due + step, time.monotonic() - 5)
            if self._over.wait(max(0, due - time.monotonic())):
                return
            sort = dice.choices(list(SORTS), list(SORTS.values()))[0]
            task = self._send(sort, f"{self.seed}-{number}-{count}")
            if task and dice.random() < 0.03:
                task.asked = dice.choice(("stop", "delete"))
                self._ask(task)

    def _send(self, sort: str, token: str) -> Accepted | None:
        begun = time.monotonic()
        try:
            answer = requests.post(
                f"{self.stage.url}/api/tasks", json=body_of(sort, token, self.stage.sink), timeout=15
            )
        except requests.RequestException:
            self.unanswered += 1
            return None
        self.slowest_answer = max(self.slowest_answer, time.monotonic() - begun)
        if answer.status_code != 201:
            self.refused += 1
            return None
        task = Accepted(answer.json()["id"], token, sort)
        self.accepted.append(task)
        return task

    def _ask(self, task: Accepted) -> None:
        url = f"{self.stage.url}/api/tasks/{task.id}"
        try:
            if task.asked == "stop":
                requests.post(f"{url}/stop", timeout=15)
            else:
                requests.delete(url, timeout=15)
        except requests.RequestException:
            pass

    def _look(self) -> None:
        """Look at tasks now and then: what has ended must not change any more."""
        dice = random.Random(self.seed)
        while not self._over.wait(1):
            for task in dice.sample(self.accepted, min(10, len(self.accepted))):
                self.see(task)

    def see(self, task: Accepted) -> dict[str, Any] | None:
        """The task as it stands; None where it is not there, or the service is not."""
        try:
            answer = requests.get(f"{self.stage.url}/api/tasks/{task.id}", timeout=15)
        except requests.RequestException:
            return None
        if answer.status_code != 200:
            return None
        shown: dict[str, Any] = answer.json()
        if shown["status"] in ENDED:
            told = (
                shown["status"],
                shown["finished_at"],
                shown["attempt"],
                repr(shown["result"]),
                repr(shown["error"]),
            )
            if task.ended and task.ended != told:
                self.changed.append(f"{task.id}: {task.ended} became {told}")
            task.ended = told
        return shown
