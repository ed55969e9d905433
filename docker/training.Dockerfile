# Training: `docker run --volume $PWD:/work IMAGE train ...`. Big, for a workstation or a batch job, never for the internet.
ARG BASE=docker.io/library/python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254

FROM ${BASE}
LABEL org.opencontainers.image.title="agelens-training" \
    org.opencontainers.image.description="Trains, evaluates and exports the models of agelens" \
    org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /src
COPY requirements/build.txt requirements/training.txt requirements/
RUN python3 -m venv /opt/agelens \
    && /opt/agelens/bin/python -m pip install --quiet --no-cache-dir --no-deps --require-hashes \
        --requirement requirements/build.txt \
    && /opt/agelens/bin/uv pip install --no-cache --python /opt/agelens/bin/python --require-hashes --no-deps \
        --requirement requirements/training.txt
COPY pyproject.toml LICENSE README.md ./
COPY models models
COPY agelens agelens
COPY service service
COPY training training
RUN /opt/agelens/bin/python -m service.inference.detection.download models \
    && /opt/agelens/bin/python -m pip install --quiet --no-deps --no-build-isolation .
RUN useradd --uid 10001 --create-home agelens
ENV PATH=/opt/agelens/bin:/usr/local/bin:/usr/bin:/bin
USER agelens
WORKDIR /work
ENTRYPOINT ["agelens-train"]
CMD ["--help"]
