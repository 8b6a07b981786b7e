"""The paper's experiments, each from one command: `bayes-rpp reproduce fig2 | fig3-left | fig3-right`."""
