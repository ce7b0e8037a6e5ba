"""Flask and RQ."""

from __future__ import annotations

import os

from flask import Flask, jsonify, request
from redis import Redis
from rq import Queue
from rq.job import Job

connection = Redis(port=int(os.environ["PEER_REDIS"]))
jobs = Queue(connection=connection)
app = Flask(__name__)


def hello() -> str:
    return "Hello World!"


@app.post("/api/tasks")
def submit():
    request.get_json()
    return jsonify(id=jobs.enqueue("rq_peer.hello").id), 201


@app.get("/api/tasks/<task_id>")
def show(task_id: str):
    job = Job.fetch(task_id, connection=connection)
    done = job.is_finished
    return jsonify(id=task_id, status="succeeded" if done else "pending", result=job.return_value() if done else None)
