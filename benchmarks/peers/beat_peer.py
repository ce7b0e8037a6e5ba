"""Celery Beat, or RedBeat where PEER_SCHEDULER says so, with PEER_SCHEDULES tasks that are due every minute."""

from __future__ import annotations

import os
import time
from typing import Any

import redis
from celery import Celery
from celery.beat import PersistentScheduler
from celery.schedules import crontab
from redbeat import RedBeatScheduler

PORT = int(os.environ["PEER_REDIS"])
app = Celery("peer", broker=f"redis://127.0.0.1:{PORT}/0")
app.conf.redbeat_redis_url = f"redis://127.0.0.1:{PORT}/1"
app.conf.beat_schedule = {
    f"hello-{number}": {"task": "hello", "schedule": crontab()} for number in range(int(os.environ["PEER_SCHEDULES"]))
}
Base = RedBeatScheduler if os.environ["PEER_SCHEDULER"] == "redbeat" else PersistentScheduler


class Noted(Base):
    """Notes the end of its first tick: from then on it fires in time."""

    ready = False

    def tick(self, *args: Any, **options: Any) -> Any:
        found = super().tick(*args, **options)
        if not self.ready:
            self.ready = True
            redis.Redis(port=PORT, db=2).set("ready", time.time())
        return found
