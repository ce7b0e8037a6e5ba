# One image for every process of the service; docker-compose.yml says which one a container runs.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /app
COPY requirements.txt ./
RUN python -m pip install --require-hashes -r requirements.txt

COPY celery_app.py flowerconfig.py start.py test_system.py ./
COPY config ./config
COPY tasks ./tasks
COPY access ./access
COPY api ./api
COPY supervision ./supervision

# A fixed uid, so that volumes keep their owner from image to image.
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin tms \
    && mkdir -p /app/var /app/logs \
    && chown tms:tms /app/var /app/logs
USER 10001
VOLUME ["/app/var", "/app/logs"]
EXPOSE 5000 5555

HEALTHCHECK --interval=10s --timeout=10s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5000/api/health/live', timeout=9)"]
CMD ["python", "celery_app.py"]
