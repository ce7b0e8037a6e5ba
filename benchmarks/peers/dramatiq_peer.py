"""Flask and Dramatiq, with results kept."""

from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from dramatiq.results.errors import ResultMissing
from flask import Flask, jsonify, request

REDIS = f"redis://127.0.0.1:{os.environ['PEER_REDIS']}/0"
backend = RedisBackend(url=REDIS)
broker = RedisBroker(url=REDIS)
broker.add_middleware(Results(backend=backend))
dramatiq.set_broker(broker)
app = Flask(__name__)


@dramatiq.actor(store_results=True)
def hello() -> str:
    return "Hello World!"


@app.post("/api/tasks")
def submit():
    request.get_json()
    return jsonify(id=hello.send().message_id), 201


@app.get("/api/tasks/<task_id>")
def show(task_id: str):
    try:
        value = hello.message().copy(message_id=task_id).get_result(backend=backend)
    except ResultMissing:
        return jsonify(id=task_id, status="pending")
    return jsonify(id=task_id, status="succeeded", result=value)
