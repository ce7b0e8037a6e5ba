"""Flask and Huey, with results kept."""

from __future__ import annotations

import os

from flask import Flask, jsonify, request
from huey import RedisHuey

huey = RedisHuey("peer", port=int(os.environ["PEER_REDIS"]), results=True, blocking=True)
app = Flask(__name__)


@huey.task()
def hello() -> str:
    return "Hello World!"


@app.post("/api/tasks")
def submit():
    request.get_json()
    return jsonify(id=hello().id), 201


@app.get("/api/tasks/<task_id>")
def show(task_id: str):
    value = huey.result(task_id, preserve=True)
    return jsonify(id=task_id, status="pending" if value is None else "succeeded", result=value)
