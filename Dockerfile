# syntax=docker/dockerfile:1
# One recipe for every process: --build-arg SERVICE=ledger | pass-issuer | wallet-webservice | notifier |
# event-bridge, or `all`, which also has the one-shot commands (bootstrap, migrations).
#
# A release pins the base by digest: --build-arg PYTHON_IMAGE=python:3.11-slim@sha256:<digest>
# A package index other than pip's own: --secret id=pip_conf,src=<your pip.conf>
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
ARG SERVICE
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /source
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    python -m venv /tools \
    && /tools/bin/pip install --require-hashes --no-deps -r requirements/build.txt \
    && python -m venv --without-pip /venv \
    && /tools/bin/pip --python /venv/bin/python install --require-hashes --no-deps -r requirements/runtime.txt
COPY libs libs
COPY services services
COPY tools tools
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# `passferry` runs the one service of this image, so that CMD can be in exec form.
RUN test -n "${SERVICE}" \
    && case "${SERVICE}" in \
         all) folders="services/* tools/bootstrap"; module=bootstrap ;; \
         *) folders="services/${SERVICE}"; module="$(echo "${SERVICE}" | tr - _)" ;; \
       esac \
    && for folder in libs/* ${folders}; do \
         /tools/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels "./${folder}" || exit 1; \
       done \
    && /tools/bin/pip --python /venv/bin/python install --no-deps --no-index /wheels/*.whl \
    && printf '#!/venv/bin/python\nimport runpy\nrunpy.run_module("passferry_%s", run_name="__main__", alter_sys=True)\n' \
         "${module}" > /venv/bin/passferry \
    && chmod 0755 /venv/bin/passferry

FROM ${PYTHON_IMAGE}
ARG SERVICE
ARG VERSION=dev
LABEL org.opencontainers.image.title="passferry-${SERVICE}" \
      org.opencontainers.image.description="Passferry: Apple Wallet and Google Wallet passes, event-driven" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/venv/bin:${PATH} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONFAULTHANDLER=1
COPY --from=build /venv /venv
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080
STOPSIGNAL SIGTERM
CMD ["passferry", "serve"]
