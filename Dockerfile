# One image for every job.* command; a second, small target serves TensorBoard without TensorFlow.
#
#   docker build -t IMAGE .
#   docker build -t IMAGE --build-arg 'TENSORFLOW=tensorflow[and-cuda]' .
#   docker build -t IMAGE --target tensorboard .
#
# Packages are pinned by constraints.txt. Give the base with a digest to pin it as well:
#   --build-arg BASE=python:3.11-slim-bookworm@sha256:...   (docker buildx imagetools inspect TAG)
# A package index of your own: --build-arg PIP_INDEX_URL=https://...; results do not hold it.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS packages
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# pip works on the environment from outside, so that it is not in it.
RUN python -m venv --without-pip /opt/venv
WORKDIR /src
COPY setup.py constraints.txt ./

FROM packages AS packages-tensorboard
RUN python -c 'from setup import EXTRAS; print(*EXTRAS["tensorboard"], sep="\n")' >wanted.txt \
    && python -m pip --python /opt/venv/bin/python install -c constraints.txt -r wanted.txt
RUN cd /opt/venv/lib/python3*/site-packages \
    && rm -rf setuptools* _distutils_hack distutils-precedence.pth \
    && find . -depth -type d -name tests -exec rm -r {} +

# What both results share: no build tools, no root, nothing written outside of mounted folders.
FROM ${BASE} AS runtime
LABEL org.opencontainers.image.title="food101-vgg19" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN python -m pip uninstall --yes --root-user-action=ignore setuptools wheel pip \
    && groupadd --gid 1000 food101 \
    && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /tmp food101
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /tmp
USER 1000:1000

FROM runtime AS tensorboard
COPY --from=packages-tensorboard /opt/venv /opt/venv
COPY launcher/__init__.py launcher/version.py launcher/tensorboard_server.py /opt/food101/launcher/
ENV PYTHONPATH=/opt/food101
EXPOSE 6006
CMD ["python", "-m", "launcher.tensorboard_server", "--help"]

FROM packages AS packages-job
RUN apt-get update -qq && apt-get install -qq --no-install-recommends binutils >/dev/null
ARG TENSORFLOW=tensorflow-cpu
# The extra names the right requirement: the two distributions of TensorFlow exclude each other.
# OpenVINO predicts in int8, on CPUs alone.
RUN case "$TENSORFLOW" in \
      tensorflow-cpu) extras="job serve openvino" ;; \
      "tensorflow[and-cuda]") extras="job-gpu serve" ;; \
      *) echo "TENSORFLOW must be tensorflow-cpu or tensorflow[and-cuda], not $TENSORFLOW" >&2; exit 2 ;; \
    esac \
    && python -c "from setup import EXTRAS; [print(*EXTRAS[extra], sep='\n') for extra in '$extras'.split()]" \
      >wanted.txt \
    && python -m pip --python /opt/venv/bin/python install -c constraints.txt -r wanted.txt
# What only compiling, testing and debugging need: 0.7 GB, TensorFlow's C++ headers and symbols above all.
RUN cd /opt/venv/lib/python3*/site-packages \
    && rm -rf setuptools* wheel* _distutils_hack distutils-precedence.pth \
         clang libclang-* tensorflow/include pyarrow/include \
    && rm -f /opt/venv/bin/wheel && find . -depth -type d -name tests -exec rm -r {} + \
    && find tensorflow pyarrow -name '*.so*' -type f -size +1M -exec strip --strip-unneeded {} +

FROM runtime AS job
ARG TENSORFLOW=tensorflow-cpu
# Which of the two this is: `launcher check` compares it with the GPUs that a job asks for.
LABEL food101.tensorflow="${TENSORFLOW}"
# NVIDIA's driver comes from the node. GKE mounts it at /usr/local/nvidia and tells nobody; where
# the container toolkit or CDI put it into the system's own folders, these paths are not there and
# change nothing. The toolkit brings only the parts that are named.
ENV LD_LIBRARY_PATH=/usr/local/nvidia/lib64:/usr/local/nvidia/lib \
    PATH=$PATH:/usr/local/nvidia/bin \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONPATH=/opt/food101
COPY --from=packages-job /opt/venv /opt/venv
COPY job /opt/food101/job
# Exec form: SIGTERM reaches Python itself.
CMD ["python", "-m", "job.train", "--help"]
