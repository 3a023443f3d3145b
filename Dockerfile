# An image that runs the server: docs/operating.md#docker.
#   docker build -t taskbadger-server .
FROM python:3.13-slim AS build

# What the server needs comes first: this layer stays until a lock file changes.
COPY requirements-build.lock requirements-server.lock /src/
RUN python -m venv /opt/taskbadger && python -m venv /opt/build \
    && /opt/taskbadger/bin/pip install --no-cache-dir --require-hashes --only-binary :all: --requirement /src/requirements-server.lock \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: --requirement /src/requirements-build.lock

COPY setup.cfg pyproject.toml README.md LICENSE wsgi.py taskbadger_server.py /src/
COPY taskbadger /src/taskbadger
RUN /opt/build/bin/pip wheel --no-cache-dir --no-index --no-deps --no-build-isolation --wheel-dir /wheels /src \
    && /opt/taskbadger/bin/pip install --no-cache-dir --no-index --no-deps /wheels/*.whl

FROM python:3.13-slim

LABEL org.opencontainers.image.title="Task Badger server" \
    org.opencontainers.image.description="Monitoring, history and alerts for background jobs" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="MIT AND 0BSD AND Apache-2.0" \
    org.opencontainers.image.vendor="Task Badger server contributors"

# The number is fixed, so that a volume belongs to the same user after an upgrade.
RUN useradd --uid 10001 --create-home --home-dir /data taskbadger
COPY --from=build /opt/taskbadger /opt/taskbadger
ENV PATH="/opt/taskbadger/bin:$PATH"

USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
# `serve` finishes its requests first: let it have 45 seconds (docker stop -t 45).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["python", "-I", "-c", "import http.client; c = http.client.HTTPConnection('127.0.0.1', 8000, timeout=5); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["taskbadger-server"]
CMD ["serve", "--bind", "0.0.0.0:8000"]
