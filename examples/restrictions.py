"""Restrictions other than symmetry, each as a prior: locality, Markov structure, linearity (paper, Section 4).

    python examples/restrictions.py                      half a minute

For each, data that the restriction fits exactly, and data that break it a little. Three models: strict (the restriction
holds), soft (a residual pathway), free (no restriction). The soft one should be near the better of the others on both.
"""

# %% Libraries and settings
import numpy as np

import bayes_rpp as rpp

RNG = np.random.default_rng(0)
TEST, NOISE = 1000, 0.3


# %% What it does
def main() -> None:
    print(f"{'restriction':12} {'data':9} {'strict':>8} {'soft':>8} {'free':>8}    test RMSE; the noise is {NOISE}")
    for name, n, net, truth, priors in (locality(), markov(), linearity()):
        for data, breaking in (("fits", 0.0), ("breaks it", 1.0)):
            x = RNG.normal(size=(n + TEST, net.rep_in.size))
            y = truth(x, breaking)
            y = y + NOISE * RNG.normal(size=y.shape)
            found = []
            for sigmas in priors:
                model = rpp.Model(net, likelihood=rpp.Gaussian(NOISE), **sigmas)
                post = rpp.fit(model, x[:n], y[:n], rpp.MAP(epochs=1500, batch_size=None), progress=False)
                found.append(np.sqrt(((post.predict(x[n:]).mean - y[n:]) ** 2).mean()))
            print(f"{name:12} {data:9} {found[0]:8.3f} {found[1]:8.3f} {found[2]:8.3f}", flush=True)


def locality():
    """Twenty sensors in a row: each output depends on its neighbours; broken by one long-range link."""
    near = rpp.subspaces.band(20, 20, 1)
    net = rpp.networks.restrict(rpp.MLP(20, 20, layers=0), {"output.weight": rpp.subspaces.SpanSubspace.masked(near)})
    w, far = near * RNG.normal(size=(20, 20)), np.zeros((20, 20))
    far[3, 17], far[12, 2] = 1.0, -1.0
    return "locality", 30, net, lambda x, breaking: x @ (w + breaking * far).T, three(0.15)


def markov():
    """A chain of ten states of two numbers: each depends on itself and the one before; broken by a memory of two."""
    chain = np.tril(np.triu(np.ones((10, 10)), -1))
    allowed = rpp.subspaces.block_pattern(chain, [2] * 10, [2] * 10)
    net = rpp.networks.restrict(
        rpp.MLP(20, 20, layers=0), {"output.weight": rpp.subspaces.SpanSubspace.masked(allowed)}
    )
    w = allowed * RNG.normal(size=(20, 20))
    memory = 0.3 * np.eye(20, k=-4)
    return "Markov", 30, net, lambda x, breaking: x @ (w + breaking * memory).T, three(0.15)


def linearity():
    """A linear model whose residual pathway is a network; broken by a sine."""
    net = rpp.networks.LinearPath(rpp.MLP(4, 1, channels=64, layers=1))
    w = RNG.normal(size=(4, 1))

    def truth(x, breaking):
        return x @ w + breaking * 0.7 * np.sin(2 * x[:, :1])

    def sigmas(path, network):
        # The network's output layer says how much of it there is.
        return {"sigma_a": {"linear.*": path, "net.output.*": network, "*": 1.0}, "sigma_b": 0.01}

    return "linearity", 100, net, truth, [sigmas(2.0, 0.0), sigmas(2.0, 1.0), sigmas(0.0, 3.0)]


def three(sigma_b):
    """Strict, soft and free priors."""
    return [{"sigma_b": 0.0}, {"sigma_b": sigma_b}, {"sigma_a": 0.0, "sigma_b": 1.0}]


# %% Run it
if __name__ == "__main__":
    rpp.inference.cache_compilations()
    main()
