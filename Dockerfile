# penchant as a service. Build: docker build -t penchant .   Run: see docs/serving.md.
FROM python:3.12-slim

RUN useradd --system --create-home --uid 10001 penchant && mkdir /feedback && chown penchant /feedback
WORKDIR /opt/penchant
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir -c constraints.txt '.[serve]'

USER penchant
ENV PENCHANT_HOST=0.0.0.0 \
    PENCHANT_PORT=8000 \
    PENCHANT_KEYS=/keys/keys.json \
    PENCHANT_FEEDBACK=sqlite:////feedback/feedback.db \
    NUMBA_CACHE_DIR=/tmp/numba
EXPOSE 8000
VOLUME /feedback
STOPSIGNAL SIGTERM
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["penchant", "serve", "/model"]
