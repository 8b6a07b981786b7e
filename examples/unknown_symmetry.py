"""Data whose symmetry nobody told the program: may columns of scikit-learn's diabetes table be swapped?

    python examples/unknown_symmetry.py     writes docs/results/unknown_symmetry.md and .png

The last six of the ten columns are blood measurements, s1 to s6. Would a doctor notice if they were permuted? S(6)
permutes all; "s1-s4" only the first four. The map shows which single swaps the data forbid.
"""

# %% Libraries and settings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

import bayes_rpp as rpp
from bayes_rpp._files import write_page

OUT = Path("docs/results/unknown_symmetry.md")
NAMES = ["s1 tc", "s2 ldl", "s3 hdl", "s4 tch", "s5 ltg", "s6 glu"]


# %% What it does
def main() -> None:
    table = load_diabetes()
    x, y = np.asarray(table.data), np.asarray(table.target)[:, None]
    x = x / x.std(axis=0)  # the columns are in comparable units, as a swap presumes
    groups = {"none": rpp.Trivial(6), "swaps of s1-s4": rpp.S(4) * rpp.Trivial(2), "S(6)": rpp.S(6)}
    rep_in = 4 * rpp.Scalar + rpp.Vector  # age, sex, bmi, blood pressure stay; the six others are permuted
    found = rpp.compare_symmetries(x, y, groups, rep_in=rep_in, rep_out=rpp.Scalar, layers=0)
    print(found)
    errors = found.group_map("S(6)", n=40)
    figure, ax = plt.subplots(figsize=(6, 5), layout="constrained")
    rpp.plots.plot_group_map(errors, names=NAMES, ax=ax)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(OUT.with_suffix(".png"), dpi=150)
    axes = rpp.plots.plot_comparison(found)
    axes[0].figure.savefig(OUT.with_name("unknown_symmetry_scores.png"), dpi=110)
    columns = ["log_evidence", "elpd", "se", "d_elpd", "d_se", "pareto_k", "weight", "noise", "sigma_ratio", "error"]
    write_page(
        OUT,
        "# May columns of the diabetes table be swapped?\n\nMade by `python examples/unknown_symmetry.py`: "
        "442 patients, linear models (their evidence is exact), none, S(4) on s1-s4, S(6) on s1-s6.\n\n```\n"
        f"{found.table[columns].to_string(float_format='%.3g')}\n\n{found.verdict}\n```\n\n"
        "![error of each swap](unknown_symmetry.png)\n\n![scores](unknown_symmetry_scores.png)\n",
    )


# %% Run it
if __name__ == "__main__":
    rpp.inference.cache_compilations()
    main()
