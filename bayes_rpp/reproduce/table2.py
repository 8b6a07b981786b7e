"""Table 2: environments and their groups, with what the simulator says of each."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

PERTURBATION = 0.2
COLUMNS = [
    "environment",
    "symmetry",
    "order",
    "verdict",
    "step",
    "step, perturbed",
    "reward",
    "reward, perturbed",
    "null",
]


def measured(env_ids: Iterable[str] | None, states: int) -> pd.DataFrame:
    """Violations of all symmetries that are known, in plain and in perturbed states.

    Raises:
        ValueError: if an environment is not known.
    """
    from bayes_rpp import rl

    known = pd.concat([rl.symmetries(one) for one in env_ids]) if env_ids else rl.symmetries()
    rows = []
    for row in known.itertuples():
        env_id, name = str(row.environment), str(row.name)
        plain, moved = (rl.measure_symmetry(env_id, name, states, perturbation=p) for p in (0.0, PERTURBATION))
        values = (plain.step, moved.step, plain.reward, moved.reward, moved.null)
        rows.append((env_id, name, row.order, row.verdict, *(float(f"{v:.2g}") for v in values)))
    return pd.DataFrame(rows, columns=COLUMNS)
