# A whole local run in one container, for trials: emulators in Firestore's place, functions, connectors (docs/single-host.md).
FROM python:3.12-slim-trixie
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ffmpeg libmagic1t64 make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /keepline
COPY . .
RUN make install && .venv/bin/python -c "from keepline_local.emulators import FIRESTORE, PUBSUB, obtain; obtain(FIRESTORE); obtain(PUBSUB)"
ENV KEEPLINE_STATE_DIR=/state
VOLUME /state
STOPSIGNAL SIGTERM
CMD [".venv/bin/python", "-m", "keepline_local", "up"]
