# Runs the commands on a CPU, as a user without privileges:
#     docker build -t deepfashion .
#     docker run --rm -v "$PWD:/work" deepfashion \
#         deepfashion predict saved_models/RUN photo.jpg
#
# The service (docs/service.md), of an export for OpenVINO, or of a run that has one:
#     docker build --target service -t deepfashion-service .
#     docker run --rm -p 8000:8000 -v "$PWD/saved_models/RUN:/model:ro" deepfashion-service
#
# The demo page needs its extra, and a port:
#     docker build --build-arg EXTRAS='[demo]' -t deepfashion-demo .
#     docker run --rm -p 7860:7860 -v "$PWD:/work" deepfashion-demo \
#         deepfashion demo saved_models/RUN --host 0.0.0.0

FROM python:3.12-slim AS base

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1
RUN useradd --create-home --uid 1000 user && install --directory --owner user /work

FROM base AS build

RUN python -m venv /opt/venv
WORKDIR /build

# The tested versions, without the project: this layer changes with the pins alone.
COPY requirements.txt ./
RUN grep -v '^-e' requirements.txt > pins.txt \
    && pip install --no-cache-dir --requirement pins.txt

COPY LICENSE README.md pyproject.toml ./
COPY deepfashion_tf ./deepfashion_tf
ARG EXTRAS=""
# A path has no version.
# hadolint ignore=DL3013
RUN pip install --no-cache-dir ".${EXTRAS}"

FROM base AS build-service

RUN python -m venv /opt/venv
WORKDIR /build

# A fifth of the size of all packages: an export for OpenVINO answers without TensorFlow.
COPY requirements-answer.txt ./
RUN pip install --no-cache-dir --requirement requirements-answer.txt

COPY LICENSE README.md pyproject.toml ./
COPY deepfashion_tf ./deepfashion_tf
# hadolint ignore=DL3013
RUN pip install --no-cache-dir --no-deps .

FROM base AS service

COPY --from=build-service /opt/venv /opt/venv
USER 1000
WORKDIR /work
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", \
    "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=5)"]
CMD ["deepfashion", "serve", "/model", "--host", "0.0.0.0"]

FROM base

COPY --from=build /opt/venv /opt/venv
USER 1000
WORKDIR /work
EXPOSE 7860
CMD ["deepfashion", "--help"]
