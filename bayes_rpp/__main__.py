"""`python -m bayes_rpp`, which is `bayes-rpp`."""

from bayes_rpp.cli import app

if __name__ == "__main__":
    app(prog_name="bayes-rpp")
