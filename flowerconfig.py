"""What `celery -A celery_app flower` reads from this folder: our settings as its options, and always a login."""

from __future__ import annotations

from logging import ERROR, getLogger

from config import flower_login, logs, settings

_settings = settings.load()

address = _settings.flower_host
port = _settings.flower_port
basic_auth = [flower_login.flower_login(_settings)[0]]

logs.configure(_settings, "flower")
# It asks all workers for details as it starts and warns where none is there yet; it asks again when one is looked at.
getLogger("flower.inspector").setLevel(ERROR)
