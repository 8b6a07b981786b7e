"""How far a policy and its critics are from a symmetry, whichever library has made them."""

import numpy as np


def violations(run, sym, n=20):
    """The largest of means, logarithms of deviations and Q-values, over all elements of the group.

    run(observations, actions) gives them, each as an array of n rows.
    """
    rng = np.random.default_rng(0)
    obs, actions = rng.normal(size=(n, sym.n_state)), rng.uniform(-1, 1, size=(n, sym.n_action))
    mean, log_std, q = run(obs, actions)
    worst = np.zeros(3)
    for s, a in zip(*sym.matrices(), strict=True):
        got = run(obs @ s.T, actions @ a.T)
        wanted = mean @ a.T, log_std @ np.abs(a).T, q
        worst = np.maximum(worst, [np.abs(g - w).max() for g, w in zip(got, wanted, strict=True)])
    return worst
