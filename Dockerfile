# pyproxy, to run beside a workload: docker build -t pyproxy .

FROM python:3.12-slim-bookworm AS build
# How pip reaches packages, for machines that have no direct way to PyPI.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG PIP_DEFAULT_TIMEOUT
# The data path is compiled to C.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements/ requirements/
RUN python -m venv /opt/build && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements/build.lock
RUN python -m venv /opt/pyproxy && /opt/pyproxy/bin/pip install --no-cache-dir --require-hashes -r requirements/run.lock
COPY pyproject.toml setup.py README.md ./
COPY pyproxy/ pyproxy/
RUN PYPROXY_COMPILE=1 /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist . \
    && /opt/pyproxy/bin/pip install --no-cache-dir --no-deps /dist/*.whl \
    && /opt/pyproxy/bin/pip uninstall --yes setuptools pip

FROM python:3.12-slim-bookworm
COPY --from=build /opt/pyproxy /opt/pyproxy
ENV PATH=/opt/pyproxy/bin:$PATH PYTHONUNBUFFERED=1
# Where certificates are mounted, and where the one container that signs them keeps its key.
RUN install -d -o 1337 -g 1337 -m 700 /ca /certs
# The user that Istio gives to its proxies, and that `pyproxy iptables` lets pass.
USER 1337:1337
EXPOSE 15001 15006 15007 15021 15090
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s CMD ["python", "-c", \
    "from urllib.request import urlopen; urlopen('http://127.0.0.1:15021/healthz/ready', timeout=2).read()"]
ENTRYPOINT ["pyproxy"]
CMD ["run", "--config", "/etc/pyproxy"]
