# One image for the Flink cluster, the Python workers below it, and the programs that submit to it: they must agree on every
# version and path. Built from the project's root: `docker compose build`.

ARG FLINK_VERSION=1.19.3
ARG UV_VERSION=0.13.9

FROM maven:3.9-eclipse-temurin-17 AS jars
WORKDIR /build
COPY flink-conf/job-server ./
RUN --mount=type=cache,target=/root/.m2 mvn --batch-mode --no-transfer-progress -Djars=/jars package

FROM ghcr.io/astral-sh/uv:${UV_VERSION} AS uv

FROM flink:${FLINK_VERSION}-scala_2.12-java17
COPY --from=uv /uv /usr/local/bin/uv
ENV UV_PYTHON_INSTALL_DIR=/opt/python UV_LINK_MODE=copy VIRTUAL_ENV=/opt/venv PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHON_WORKER_LOG=/proc/1/fd/2
WORKDIR /app

COPY requirements.lock docker/container-excludes.txt ./
RUN --mount=type=cache,target=/root/.cache/uv \
    uv venv --python 3.11 /opt/venv \
    && uv pip install --no-deps --require-hashes --compile-bytecode --excludes container-excludes.txt \
       --requirements requirements.lock

COPY alerts alerts/
COPY beam_pipelines beam_pipelines/
COPY dashboard dashboard/
COPY detection detection/
COPY feed feed/
COPY flink-conf flink-conf/
COPY local local/
COPY programs programs/
COPY sql sql/
COPY transforms transforms/
COPY .env.example ./

COPY --from=jars /jars /jars
RUN mkdir -p build/cache \
    # Beam's jars are on the cluster's class path, so that a job ships none; Flink brings its own and its logger.
    && find /jars/lib -name '*.jar' ! -name 'flink-*' ! -name 'slf4j-*' -exec cp {} /opt/flink/lib/ \; \
    && mv /jars "$(python -c 'from local import jars; print(jars.folder(jars.JOB_SERVER))')" \
    && install -d -o flink -g flink /state

# From the start: the runtime then gives this user the container's output, which is where PYTHON_WORKER_LOG leads. A program that
# begins as root and becomes flink later could not open it.
USER flink
