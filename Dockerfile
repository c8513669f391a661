# For CUDA: --build-arg IMAGE=... (an image with nvcc and Python 3.11) --build-arg PERENNIAL_LLAMA=cuda
ARG IMAGE=python:3.11-slim-bookworm
FROM ${IMAGE}
ARG PERENNIAL_LLAMA=cpu
RUN apt-get update && apt-get install -y --no-install-recommends build-essential cmake make && rm -rf /var/lib/apt/lists/*
WORKDIR /srv/perennial
# A container may run on another machine than the one that built it: no instructions of this machine only.
ENV CMAKE_ARGS="-DLLAVA_BUILD=OFF -DGGML_NATIVE=OFF" PERENNIAL_HOME=/var/lib/perennial
COPY pyproject.toml constraints.txt Makefile README.md ./
COPY .ci .ci
COPY client client
COPY service service
COPY pipelines pipelines
COPY alembic alembic
COPY data data
COPY models/tiny models/tiny
RUN PERENNIAL_LLAMA=${PERENNIAL_LLAMA} make setup
VOLUME /var/lib/perennial
ENTRYPOINT [".venv/bin/perennial"]
CMD ["up"]
