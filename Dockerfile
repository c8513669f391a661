# syntax=docker/dockerfile:1
# Perennial in one image, for processors or for NVIDIA's GPUs:
#   docker build -t perennial .
#   docker build -t perennial:cuda --build-arg PERENNIAL_LLAMA=cuda .
# Both stand on the same Debian and Python. The second compiles llama.cpp with NVIDIA's compiler and keeps the libraries that it
# needs to run; the machine that runs it needs NVIDIA's driver and container toolkit.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG PERENNIAL_LLAMA=cpu

# What the service needs to run: llama.cpp's OpenMP.
FROM ${PYTHON_IMAGE} AS run-cpu
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*

FROM run-cpu AS run-cuda
ARG CUDA=12-8
ENV PATH="/usr/local/cuda/bin:${PATH}" LD_LIBRARY_PATH=/usr/local/cuda/lib64 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
ADD https://developer.download.nvidia.com/compute/cuda/repos/debian12/x86_64/cuda-keyring_1.1-1_all.deb /tmp/keyring.deb
# hadolint ignore=DL3008
RUN dpkg -i /tmp/keyring.deb && rm /tmp/keyring.deb && apt-get update \
    && apt-get install -y --no-install-recommends "cuda-cudart-${CUDA}" "libcublas-${CUDA}" \
    && rm -rf /var/lib/apt/lists/*

# What it takes to build: compilers, thrown away with this stage.
FROM run-cpu AS build-cpu
# A container may run on another machine than the one that built it: no instructions of this machine only.
ENV CMAKE_ARGS="-DLLAVA_BUILD=OFF -DGGML_NATIVE=OFF"
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends build-essential cmake && rm -rf /var/lib/apt/lists/*

FROM run-cuda AS build-cuda
ARG CUDA=12-8
# Turing to Hopper. Fewer compile faster: --build-arg CUDA_ARCHITECTURES=90
ARG CUDA_ARCHITECTURES="75;80;86;89;90"
ENV CMAKE_ARGS="-DLLAVA_BUILD=OFF -DGGML_NATIVE=OFF -DCMAKE_CUDA_ARCHITECTURES=${CUDA_ARCHITECTURES}"
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends build-essential cmake \
    "cuda-nvcc-${CUDA}" "cuda-cudart-dev-${CUDA}" "libcublas-dev-${CUDA}" && rm -rf /var/lib/apt/lists/*

# hadolint ignore=DL3006
FROM build-${PERENNIAL_LLAMA} AS build
ARG PERENNIAL_LLAMA
WORKDIR /srv/perennial
COPY pyproject.toml constraints.txt Makefile README.md ./
COPY .ci .ci
COPY client client
COPY service service
COPY pipelines pipelines
COPY alembic alembic
COPY data data
COPY models/tiny models/tiny
RUN PIP_NO_CACHE_DIR=1 PERENNIAL_LLAMA=${PERENNIAL_LLAMA} make setup && rm -rf .make /root/.cache

# hadolint ignore=DL3006
FROM run-${PERENNIAL_LLAMA}
LABEL org.opencontainers.image.title="Perennial" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin perennial \
    && install -d -o perennial -g perennial -m 0700 \
    /var/lib/perennial /var/lib/perennial/recipes /var/lib/perennial/suites && install -d /models
WORKDIR /srv/perennial
COPY --from=build /srv/perennial /srv/perennial
# hadolint ignore=DL3064
ENV PERENNIAL_HOME=/var/lib/perennial PATH="/srv/perennial/.venv/bin:${PATH}" HF_HUB_OFFLINE=1 \
    HF_HUB_DISABLE_TELEMETRY=1 TOKENIZERS_PARALLELISM=false OMP_WAIT_POLICY=passive
USER 10001:10001
VOLUME ["/var/lib/perennial"]
EXPOSE 8600
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["perennial", "health", "web"]
ENTRYPOINT ["perennial"]
CMD ["up"]
