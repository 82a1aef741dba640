# syntax=docker/dockerfile:1
# One image for `run` and for all commands. What is installed comes from the hashed locks alone.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
# `tracing`: with the libraries that tracing.enabled needs.
ARG LOCK=runtime
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
# The program's own environment has no pip: another one, which stays behind, fills it.
RUN python3 -m venv /tools && python3 -m venv --without-pip /app
COPY requirements/build.txt requirements/${LOCK}.txt requirements/
RUN /tools/bin/pip install --require-hashes --only-binary :all: --requirement requirements/build.txt \
    && /tools/bin/pip --python /app/bin/python install --require-hashes --only-binary :all: --no-compile \
        --requirement requirements/${LOCK}.txt
COPY pyproject.toml README.md LICENSE ./
COPY service service
RUN /tools/bin/hatchling build --target wheel --directory dist \
    && /tools/bin/pip --python /app/bin/python install --no-deps --no-index --no-compile dist/*.whl \
    # Nothing is written at run time, so what Python would cache is made here, with paths by content.
    && /app/bin/python -m compileall -q --invalidation-mode unchecked-hash /app/lib

FROM ${BASE}
LABEL org.opencontainers.image.title="call-dispatcher" \
      org.opencontainers.image.description="Single call events from Kafka, in batches to a call provider" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DISPATCHER_HTTP__HOST=0.0.0.0
# A number, so that Kubernetes can see that it is not root; nobody else's, and not in any file.
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python3", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ.get('DISPATCHER_HTTP__PORT', 8080)}/livez\", timeout=4)"]
# No shell in between: SIGTERM reaches the program, which then drains.
ENTRYPOINT ["call-dispatcher"]
CMD ["run"]
