# robustdd on a machine with an NVIDIA GPU and its container toolkit; docs/container.md says how to use it.
# The tag is a full version; give its digest, too, so that the base cannot change:
#   docker build --build-arg PYTHON_DIGEST=sha256:... -t robustdd .
ARG PYTHON_TAG=3.11.14-slim-bookworm
ARG PYTHON_DIGEST
FROM python:${PYTHON_TAG}${PYTHON_DIGEST:+@${PYTHON_DIGEST}}

# As env.mk: nothing phones anywhere, the UI works offline, stores lie in the checkout, and every user id has a name.
ENV DO_NOT_TRACK=1 \
    DVC_NO_ANALYTICS=1 \
    PREFECT_HOME=/robustdd/.robustdd/prefect \
    PREFECT_RESULTS_LOCAL_STORAGE_PATH=/robustdd/.robustdd/prefect/results \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT=false \
    PREFECT_SERVER_UI_V2_ENABLED=false \
    PREFECT_SERVER_EPHEMERAL_ENABLED=false \
    PREFECT_UI_API_URL=/api \
    PREFECT_SERVER_API_PORT=4200 \
    PREFECT_LOGGING_EXTRA_LOGGERS=robustdd \
    LOGNAME=robustdd

# git for DVC and for the commit of every run; tini passes signals on to a stage that outlives DVC.
# Debian keeps one version of a package at a time: the digest of the base pins them as far as that goes.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home robustdd \
    && install --directory --owner robustdd --group robustdd /robustdd
WORKDIR /robustdd

COPY locks/gpu.txt locks/gpu.txt
RUN python -m pip install --no-cache-dir --no-input --disable-pip-version-check --requirement locks/gpu.txt

COPY --chown=robustdd:robustdd pyproject.toml README.md LICENSE Makefile env.mk dvc.yaml params.yaml .dvcignore ./
COPY --chown=robustdd:robustdd .dvc/config .dvc/config
COPY --chown=robustdd:robustdd robustdd robustdd
COPY --chown=robustdd:robustdd tasks tasks
COPY --chown=robustdd:robustdd flows flows
COPY --chown=robustdd:robustdd studies studies
RUN python -m pip install --no-cache-dir --no-input --disable-pip-version-check --no-deps --no-build-isolation --editable . \
    && chown --recursive robustdd:robustdd /robustdd

USER 1000
# The image holds no repository: DVC works without one, until a checkout is mounted over this folder.
RUN dvc config --local core.no_scm true
ENTRYPOINT ["tini", "-g", "--"]
CMD ["python", "-m", "flows.with_server", "dvc", "repro"]
