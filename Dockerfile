# cityproof's services: what the lock names and nothing else, run by nobody in particular.
FROM python:3.13-slim-bookworm AS build
WORKDIR /source
COPY locks/service.txt locks/build.txt locks/
RUN python -m venv /opt/cityproof && python -m venv /opt/build \
    && /opt/cityproof/bin/pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: --requirement locks/service.txt \
    && /opt/build/bin/pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: --requirement locks/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY pipeline pipeline
COPY devices devices
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /source/wheels . \
    && /opt/cityproof/bin/pip install --no-cache-dir --no-deps --no-index /source/wheels/*.whl \
    && /opt/cityproof/bin/python -m compileall -q /opt/cityproof/lib \
    && /opt/cityproof/bin/pip uninstall --yes pip

FROM python:3.13-slim-bookworm
# A volume that is new takes its owner from here.
RUN groupadd --gid 10001 cityproof && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin cityproof \
    && install --directory --mode 0700 --owner 10001 --group 10001 /city
COPY --from=build /opt/cityproof /opt/cityproof
ENV PATH=/opt/cityproof/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /city
ENTRYPOINT ["cityproof"]
CMD ["--help"]
