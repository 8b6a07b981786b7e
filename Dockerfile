# The demo in a container: docker build -t bayes-rpp . && docker run --rm -v "$PWD/demo:/demo" bayes-rpp
FROM python:3.12-slim
COPY pyproject.toml README.md LICENSE /source/
COPY bayes_rpp /source/bayes_rpp
RUN pip install --no-cache-dir '/source[numpyro]'
CMD ["bayes-rpp", "demo", "--out", "/demo"]
