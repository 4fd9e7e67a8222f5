# docker build -t ganlab .                                                  on a CPU
# docker build -t ganlab --build-arg BASE=nvidia/cuda:12.6.3-runtime-ubuntu24.04 --build-arg TORCH=torch .
# docker run --rm -v "$PWD/outputs:/work/outputs" ganlab train model=dcgan kimg=10
ARG BASE=python:3.12-slim
FROM ${BASE}
# The CPU base has the pinned CPU build; TORCH=torch takes the registry's, which is CUDA's on Linux.
ARG TORCH=pinned
RUN command -v python3 >/dev/null && python3 -m venv --help >/dev/null 2>&1 || \
    (apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && \
    rm -rf /var/lib/apt/lists/*)
WORKDIR /ganlab
COPY . .
RUN python3 -m venv .venv && \
    if [ "$TORCH" != pinned ]; then .venv/bin/pip install --no-cache-dir "$TORCH"; fi && \
    PYTHON=python3 scripts/install .
ENV PATH=/ganlab/.venv/bin:$PATH GANLAB_CACHE=/work/cache
WORKDIR /work
ENTRYPOINT ["ganlab"]
CMD ["--help"]
