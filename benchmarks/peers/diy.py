"""What somebody would write without us: Flask, `.delay()` and a Celery worker with a result backend."""

from __future__ import annotations

import os

from celery import Celery
from flask import Flask, jsonify, request

REDIS = f"redis://127.0.0.1:{os.environ['PEER_REDIS']}"
celery = Celery("diy", broker=f"{REDIS}/0", backend=f"{REDIS}/1")
celery.conf.broker_connection_retry_on_startup = True
app = Flask(__name__)


@celery.task
def hello() -> str:
    return "Hello World!"


@app.post("/api/tasks")
def submit():
    request.get_json()
    return jsonify(id=hello.delay().id), 201


@app.get("/api/tasks/<task_id>")
def show(task_id: str):
    found = celery.AsyncResult(task_id)
    state = found.state
    return jsonify(id=task_id, status="succeeded" if state == "SUCCESS" else state, result=found.result)
