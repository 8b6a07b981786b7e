"""Calls that a type checker takes: `tests/test_types.py` runs mypy on them."""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions
import pandas as pd
import torch

import bayes_rpp as rpp

net = rpp.EMLP(rpp.Vector, rpp.Scalar, rpp.O(3), channels=8, layers=1)
half_normal = rpp.Prior("HalfNormal", {"scale": 1.0})

rpp.Model(net, sigma_b=0)
rpp.Model(net, sigma_a=np.float32(1.0), sigma_b=half_normal)
rpp.Model(net, sigma_a=[1.0, half_normal], sigma_b=rpp.PerLayer(half_normal))
rpp.Model(net, sigma_b=torch.distributions.HalfNormal(1.0), likelihood=rpp.Gaussian(half_normal))
rpp.Model(net, sigma_b={"layers.*": 0.1, "*": numpyro.distributions.HalfNormal(1.0)})

model = rpp.Model(net)
rpp.fit(model, np.ones((2, 3)), [[1.0], [2.0]], rpp.MAP(), engine="pyro")
rpp.fit(model, torch.ones(2, 3), jnp.ones((2, 1)), rpp.MAP(), engine="numpyro", validation=(np.ones((1, 3)), [[1]]))
tracker = rpp.EquivarianceTracker(rpp.O(3), x=np.ones((1, 3)))
post = rpp.fit(model, pd.DataFrame(), [np.ones(1), np.ones(1)], rpp.MAP(), callbacks=[tracker])
shape = post.predict([(1, 2, 3)]).mean.shape
first = post.predict(np.ones((1, 3))).samples[0, 0]
post.log_likelihood().sum(axis=0)
rpp.compare_symmetries(np.ones((9, 3)), range(9), {"O(3)": "O(3)"}, rep_in=rpp.Vector, rep_out="Scalar")
rpp.RPPRegressor("O(3)", "Vector", sigma_b=half_normal, random_state=0).fit(np.ones((9, 3)), [0.0] * 9)
rpp.RPPClassifier(method=rpp.NUTS(), channels=8).fit(np.ones((9, 3)), ["a", "b", "c"] * 3).predict_proba([[1, 2, 3]])
