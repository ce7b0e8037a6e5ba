"""What `celery -A celery_app flower` reads from this folder: our settings as its options, and always a login."""

from __future__ import annotations

from logging import ERROR, getLogger

from flower.views import monitor
from tornado import web

from config import flower_login, logs, settings

_settings = settings.load()

address = _settings.flower_host
port = _settings.flower_port
_login, _made = flower_login.flower_login(_settings)
basic_auth = [_login]

# Flower itself would tell its metrics, with the names of workers, to everybody.
monitor.Metrics.get = web.authenticated(monitor.Metrics.get)

logs.configure(_settings, "flower")
if _made:
    getLogger("flower").info("log in as %s; the password is in %s", flower_login.USER, flower_login.kept_in(_settings))
# It asks all workers for details as it starts and warns where none is there yet; it asks again when one is looked at.
getLogger("flower.inspector").setLevel(ERROR)
# It keeps the last tasks that it heard of in memory, 1.3 KB each: by itself a hundred thousand of them.
max_tasks = 1000
