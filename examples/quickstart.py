"""One screen: an RPP ensemble on data that almost has a symmetry. Run: python examples/quickstart.py (a minute)."""

import matplotlib.pyplot as plt
import numpy as np

import bayes_rpp as rpp

rpp.inference.cache_compilations()

# %% Data whose symmetry is broken a little
data = rpp.datasets.modified_inertia(n=1000, seed=0)
test = rpp.datasets.modified_inertia(n=1000, seed=1)

# %% A model, and an ensemble of it
net = rpp.EMLP(data.rep_in, data.rep_out, data.group, channels=128, layers=3)
model = rpp.Model(net, sigma_a=1.0, sigma_b=0.05, likelihood=rpp.Gaussian(0.1))
post = rpp.fit(
    model,
    data.x,
    data.y,
    rpp.DeepEnsemble(members=5, epochs=200, batch_size=125),
    callbacks=[rpp.EquivarianceTracker(data.group, every=20)],
    seed=0,
)

# %% How well it predicts, how sure it is, how symmetric
prediction = post.predict(test.x)
print(f"test MSE {((prediction.mean - test.y) ** 2).mean():.2f}, predicted std {prediction.std.mean():.2f}")
print(f"median equivariance error {np.median(post.equivariance_error(test.x)):.3f}")

# %% A picture, and a file
rpp.plots.plot_equivariance_kde({"modified inertia": post})
plt.savefig("quickstart.png", dpi=150)
print("picture: quickstart.png; posterior:", post.save("quickstart.nc"))
