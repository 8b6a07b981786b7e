"""Calls that a type checker must not take, each with the errors that `tests/test_types.py` expects of it."""

import numpy as np

import bayes_rpp as rpp

net = rpp.EMLP(rpp.Vector, rpp.Scalar, rpp.O(3), channels=8, layers=1)
model = rpp.Model(net)
x, y = np.ones((9, 3)), np.ones((9, 1))

rpp.Model(net, sigma_b="wrong")  # arg-type
rpp.Model(net, sigma_b=None)  # arg-type
rpp.Model(net, sigma_b=[0.1])  # arg-type
rpp.Model(net, sigma_a="wrong")  # arg-type
rpp.Model(net, sigma_b={"*": "wrong"})  # dict-item
rpp.Model("net")  # arg-type
rpp.PerLayer(0.1)  # arg-type
rpp.Gaussian("0.1")  # arg-type

rpp.fit(model, "no array", None, rpp.MAP())  # arg-type
rpp.fit(model, ["a"], b"no array", rpp.MAP())  # arg-type list-item
rpp.fit(model, x, y, "MAP")  # arg-type
rpp.fit(model, x, y, rpp.MAP(), engine="jax")  # arg-type
rpp.fit(model, x, y, rpp.MAP(), validation="no pair")  # arg-type
post = rpp.fit(model, x, y, rpp.MAP())
post.predict("no array")  # arg-type
post.metrics(x, None)  # arg-type
names = post.predict(x).mean.columns  # attr-defined
rpp.compare_symmetries("no array", y, {"O(3)": 3}, rep_in=rpp.Vector, rep_out=1)  # arg-type arg-type dict-item
rpp.EquivarianceTracker("O(3)")  # arg-type
rpp.RPPRegressor(group=3)  # arg-type
rpp.RPPRegressor(sigma_b="wrong").fit(x, "no array")  # arg-type arg-type
rpp.RPPClassifier().fit(x, "no labels")  # arg-type
