# genebatch with the packages of requirements.lock:
#   docker build --tag genebatch .
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/data" genebatch run --configfile my.yaml
FROM python:3.12-slim AS build
WORKDIR /source
RUN python -m venv /opt/genebatch
COPY requirements.lock .
RUN /opt/genebatch/bin/python -m pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY . .
RUN /opt/genebatch/bin/python -m pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.12-slim
LABEL org.opencontainers.image.source="https://example.org/genebatch"
COPY --from=build /opt/genebatch /opt/genebatch
# Any user may run it: what libraries keep between runs goes to /tmp.
ENV PATH="/opt/genebatch/bin:$PATH" HOME=/tmp
WORKDIR /data
ENTRYPOINT ["genebatch"]
CMD ["--help"]
