# The two commands of README.md in a container, with the repository mounted at /workspace:
#
#   docker build --tag trustmia .
#   docker run --rm --volume "$PWD:/workspace" trustmia
#
# For a GPU, build on a CUDA image and hand the GPU in:
#
#   docker build --build-arg BASE=nvidia/cuda:13.0.1-runtime-ubuntu22.04 --tag trustmia:cuda .
#   docker run --rm --gpus all --shm-size 16G --volume "$PWD:/workspace" trustmia:cuda
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git make \
    && if ! { command -v python3.13 || command -v python3.12 || command -v python3.11; }; then \
           apt-get install --yes --no-install-recommends python3.11 python3.11-venv \
           || apt-get install --yes --no-install-recommends python3 python3-venv; \
       fi \
    && rm -rf /var/lib/apt/lists/*

# Files that a run writes belong to whoever has this number outside.
ARG USER_ID=1000
RUN useradd --create-home --uid ${USER_ID} researcher \
    && install --directory --owner researcher /opt/trustmia /workspace
USER researcher
WORKDIR /workspace

# A layer of its own: the dependencies are installed again only when they change.
# Options of pip, for example where a CPU build of PyTorch lies, go into PIP_OPTIONS.
ARG PIP_OPTIONS=""
COPY --chown=researcher requirements.txt /opt/trustmia/
RUN python="$(command -v python3.13 || command -v python3.12 || command -v python3.11)" \
    && "$python" -m venv /opt/trustmia/venv \
    && /opt/trustmia/venv/bin/python -m pip install --no-cache-dir ${PIP_OPTIONS} \
           --requirement /opt/trustmia/requirements.txt

# The environment lies outside the mounted repository, whose own .venv may be another system's.
ENV VENV=/opt/trustmia/venv
RUN git config --global --add safe.directory /workspace
CMD ["make", "run"]
