# A whole local run in one container, for trials: emulators in Firestore's place, functions, connectors (docs/single-host.md).
FROM python:3.12-slim-trixie
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ffmpeg libmagic1t64 make \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --create-home keepline && install --directory --owner=keepline --group=keepline /keepline /state
USER 10001:10001
WORKDIR /keepline
COPY --chown=10001:10001 . .
RUN make install && .venv/bin/python -c "from keepline_local.emulators import FIRESTORE, PUBSUB, obtain; obtain(FIRESTORE); obtain(PUBSUB)"
ENV KEEPLINE_STATE_DIR=/state
VOLUME /state
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD [".venv/bin/python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8080, timeout=2); c.request('GET', '/health'); raise SystemExit(c.getresponse().status != 200)"]
STOPSIGNAL SIGTERM
CMD [".venv/bin/python", "-m", "keepline_local", "up"]
