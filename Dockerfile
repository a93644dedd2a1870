# One image for every job.* command; a second, small target serves TensorBoard without TensorFlow.
#
#   docker build -t IMAGE .
#   docker build -t IMAGE --build-arg 'TENSORFLOW=tensorflow[and-cuda]' .
#   docker build -t IMAGE --target tensorboard .
#
# Packages are pinned by constraints.txt; give BASE with a digest to pin the base as well.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /opt/venv
WORKDIR /src
COPY setup.py pyproject.toml constraints.txt README.md ./
COPY job ./job
COPY k8s ./k8s
COPY launcher ./launcher

FROM build AS build-job
ARG TENSORFLOW=tensorflow-cpu
# The extra names the right requirement: the two distributions of TensorFlow exclude each other.
RUN case "$TENSORFLOW" in \
      tensorflow-cpu) extra=job ;; \
      "tensorflow[and-cuda]") extra=job-gpu ;; \
      *) echo "TENSORFLOW must be tensorflow-cpu or tensorflow[and-cuda], not $TENSORFLOW" >&2; exit 2 ;; \
    esac \
    && /opt/venv/bin/pip install --constraint constraints.txt ".[$extra]"

FROM build AS build-tensorboard
RUN /opt/venv/bin/pip install --constraint constraints.txt '.[tensorboard]'

# What both results share: no build tools, no root, nothing written outside of mounted folders.
FROM ${BASE} AS runtime
LABEL org.opencontainers.image.title="food101-vgg19" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
RUN groupadd --gid 1000 food101 && useradd --uid 1000 --gid 1000 --no-create-home food101
WORKDIR /tmp
USER 1000:1000

FROM runtime AS tensorboard
COPY --from=build-tensorboard /opt/venv /opt/venv
EXPOSE 6006
CMD ["python", "-m", "tensorboard.main", "--help"]

FROM runtime AS job
COPY --from=build-job /opt/venv /opt/venv
# Exec form: SIGTERM reaches Python itself.
CMD ["python", "-m", "job.train", "--help"]
