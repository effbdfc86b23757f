# One node of a raftd cluster. Builds with the classic builder as well as with BuildKit.
#
#   docker build -t raftd .
#
# The daemon takes every setting from the environment (RAFTD_ID, RAFTD_PEERS, ...) or from one file
# (RAFTD_CONFIG=/etc/raftd/node.yaml, mounted). docker-compose.yml shows the whole of it.

ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# The dependencies first, by the versions that the tests ran with: a change in the source does not
# download them again. The environment has no pip of its own; the image's does the work.
COPY pyproject.toml constraints.txt ./
RUN python -m venv --without-pip /opt/raftd \
    && python -c 'import tomllib; print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]))' > needed.txt \
    && pip install --quiet --constraint constraints.txt hatchling \
    && pip --python /opt/raftd/bin/python install --quiet --constraint constraints.txt --requirement needed.txt
COPY README.md LICENSE ./
COPY protos protos
COPY raftd raftd
RUN pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels . \
    && pip --python /opt/raftd/bin/python install --quiet --no-deps --no-index wheels/*.whl

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="raftd" \
      org.opencontainers.image.description="A Raft daemon: a replicated, durable state machine over gRPC" \
      org.opencontainers.image.licenses="MIT"
# A number, not a name: an orchestrator can then check that it is not root. The directory belongs to
# that user, and a new named volume takes this over.
RUN groupadd --gid 10001 raftd \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin raftd \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/raftd
COPY --from=build /opt/raftd /opt/raftd
COPY config/compose/probe.py /opt/raftd/probe.py
ENV PATH=/opt/raftd/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    RAFTD_DATA_DIR=/var/lib/raftd \
    RAFTD_LISTEN_PEER=0.0.0.0:7001 \
    RAFTD_LISTEN_CLIENT=0.0.0.0:7002 \
    RAFTD_LISTEN_ADMIN=127.0.0.1:7003 \
    RAFTCTL_ENDPOINTS=127.0.0.1:7002
USER 10001:10001
VOLUME /var/lib/raftd
EXPOSE 7001 7002
STOPSIGNAL SIGTERM
# Liveness, not readiness: an orchestrator may replace an unhealthy container, and a node without
# its majority is not made better by that. The probe costs a fortieth of `raftctl health`.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "-IS", "/opt/raftd/probe.py", "/livez"]
# Exec form: the daemon gets the signals itself, also as process 1.
ENTRYPOINT ["raftd"]
CMD ["serve"]
