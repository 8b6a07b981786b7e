"""Speed as ratios, each pair measured in one run on one machine: `make bench`.

A benchmark is a file with a function of its name that returns rows; `python -m benchmarks` runs them.
"""

NAMES = (
    "step", "members", "building", "compiling", "prior", "pyro_step", "nuts", "prediction", "scaling", "sampling",
    "sweep", "laplace", "comparison", "functions", "discovery", "discovery_discrete", "discovery_prediction",
    "discovery_published", "softened", "stochastic", "particles", "discovery_calibration",
)  # fmt: skip
