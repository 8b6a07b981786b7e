"""Which rotations does the modified moment of inertia break? The error of an RPP ensemble by group element.

    python examples/group_map.py [epochs]     writes docs/results/group_map.md and .png; 150 epochs by default

The data break O(3) by a term along z that rotations about z keep. The network knows O(3) alone and finds out the rest.
"""

# %% Libraries and settings
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import bayes_rpp as rpp
from bayes_rpp._files import write_page

OUT = Path("docs/results/group_map.md")
EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 150


# %% What it does
def main() -> None:
    data, test = rpp.datasets.modified_inertia(1000, seed=0), rpp.datasets.modified_inertia(100, seed=1)
    net = rpp.EMLP(data.rep_in, data.rep_out, data.group, channels=384, layers=3)
    model = rpp.Model(net, sigma_a=1.0, sigma_b=0.05, likelihood=rpp.Gaussian(0.1))
    post = rpp.fit(model, data.x, data.y, rpp.DeepEnsemble(members=3, epochs=EPOCHS, batch_size=125), seed=0)
    errors = rpp.analysis.group_error_map(post, test.x[:50])
    error, elements = np.median(errors.errors, axis=0), errors.elements
    assert elements.axis is not None
    tilt = np.degrees(np.arccos(np.clip(elements.axis[:, 2], -1, 1)))
    rows = ["| angle of the axis with z | elements | median error (range) |", "| --- | --- | --- |"]
    for low, high in ((0, 1), (1, 30), (30, 60), (60, 90.1)):
        part = error[(tilt >= low) & (tilt < high)]
        if len(part):
            name = "0° (about z)" if low == 0 else f"{low}° to {high:.0f}°"
            rows.append(f"| {name} | {len(part)} | {np.median(part):.3f} ({part.min():.3f} to {part.max():.3f}) |")
    figure, ax = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
    rpp.plots.plot_group_map(errors, ax=ax)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(OUT.with_suffix(".png"), dpi=150)
    write_page(
        OUT,
        f"# Which rotations are broken\n\nMade by `python examples/group_map.py {EPOCHS}`: modified inertia, 1000 "
        f"examples, an ensemble of 3 RPP-EMLPs (384 channels, 3 layers, sigma_b 0.05), {EPOCHS} epochs; test MSE "
        f"{float(((post.predict(test.x).mean - test.y) ** 2).mean()):.3f}. With and without a reflection.\n\n"
        + "\n".join(rows)
        + "\n\n![error by rotation axis](group_map.png)\n",
    )
    print(OUT.read_text())


# %% Run it
if __name__ == "__main__":
    rpp.inference.cache_compilations()
    main()
