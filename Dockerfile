# Images of the project: `server` answers requests, `server-baked` contains the model as well, `job`
# runs pipelines. docs/containers.md explains how to build and run them, and what was verified.
#
#   docker build --target server -t marvel-kedro-server .
#
# For reproducible builds pin the base by its digest: --build-arg BASE=python@sha256:...
ARG BASE=python:3.12-slim-trixie

FROM ${BASE} AS base
# LightGBM requires libgomp. It is not pinned, so that Debian's fixes are installed.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin marvel \
    && install --directory --owner=marvel --group=marvel --mode=0750 /srv/marvel
# The root file system may be read-only: data goes to the volume, temporary files to /tmp.
ENV PATH=/opt/marvel/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp \
    MARVEL_FILES=/srv/marvel


# Environment that builds the wheel, from a lock with hashes and without pip. The optional secret `pip`
# is a pip.conf with the package index.
FROM base AS build
WORKDIR /build
ENV PIP_PYTHON=/opt/marvel/bin/python PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv --without-pip /opt/marvel
COPY requirements/base.txt requirements/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    pip install --quiet --no-cache-dir --no-compile --require-hashes --no-deps \
      --requirement requirements/base.txt

FROM build AS wheel
COPY pyproject.toml README.md LICENSE ./
COPY conf conf
COPY src src
RUN hatchling build --target wheel

# Packages of both images: monitoring reads and writes the tables of the server. Bytecode is not
# checked against its source at run time, since the image's user cannot write it. Kedro's templates
# are not valid Python and are skipped.
FROM build AS installed
COPY requirements/server.txt requirements/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    pip install --quiet --no-cache-dir --no-compile --require-hashes --no-deps \
      --requirement requirements/server.txt
COPY --from=wheel /build/dist dist
RUN pip install --quiet --no-cache-dir --no-compile --no-index --no-deps dist/*.whl \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -x /templates/ /opt/marvel/lib


FROM base AS job
LABEL org.opencontainers.image.title="marvel-kedro-job" \
      org.opencontainers.image.description="Pipelines of marvel_kedro" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=installed /opt/marvel /opt/marvel
USER 10001:10001
WORKDIR /srv/marvel
VOLUME /srv/marvel
# As process 1 Python handles SIGINT but ignores SIGTERM; `kedro run` stops cleanly on SIGINT.
STOPSIGNAL SIGINT
# A later --env overrides this one.
ENTRYPOINT ["marvel-kedro-job", "--env", "base"]
CMD ["--pipeline", "__default__"]


# The registry's model, fetched during the build. The secret `mlflow` has lines such as
# MLFLOW_TRACKING_URI=http://..; another value of FETCHED_AT fetches it again.
FROM installed AS fetch
ARG FETCHED_AT=once
RUN --mount=type=secret,id=mlflow,required=true \
    set -a && . /run/secrets/mlflow && set +a && echo "Fetched at: ${FETCHED_AT}" \
    && MARVEL_FILES=/build/files MARVEL_MODELS=/opt/models marvel-kedro serve --fetch \
    && chmod -R a+rX /opt/models


FROM base AS server
LABEL org.opencontainers.image.title="marvel-kedro-server" \
      org.opencontainers.image.description="The endpoint of marvel_kedro over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=installed /opt/marvel /opt/marvel
ENV MARVEL_HOST=0.0.0.0 \
    MARVEL_PORT=8080
USER 10001:10001
WORKDIR /srv/marvel
VOLUME /srv/marvel
EXPOSE 8080
STOPSIGNAL SIGTERM
# Healthy only with a model; the start period covers fetching the first one.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['MARVEL_PORT']), timeout=4); c.request('GET', '/health'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["marvel-kedro", "serve"]


# Serves the models of the image, without polling the registry.
FROM server AS server-baked
COPY --from=fetch /opt/models /opt/models
ENV MARVEL_MODELS=/opt/models \
    MARVEL_ASK_REGISTRY=false
