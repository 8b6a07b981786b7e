"""Texts and files from strangers: nothing but the documented errors comes, and no code of theirs is run."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from bayes_rpp import Posterior, load_network, save_network
from tests import hostile


def test_a_few_hostile_cases_of_each_kind(tmp_path):
    found = hostile.run(80, folder=tmp_path)
    assert sum(found.values()) == 80
    assert any(came == "read" for _, came in found)  # some are whole: else they would be too easy to refuse
    kinds = {kind for kind, _ in found}
    assert len(kinds) == 5
    assert all(found[kind, "ValueError"] > 5 for kind in kinds)


@pytest.mark.slow
def test_ten_thousand_hostile_cases(tmp_path):
    found = hostile.run(10_000, first=1000, folder=tmp_path)
    print("\n".join(f"{kind}: {came} {count}" for (kind, came), count in sorted(found.items())))  # noqa: T201 (-rP)
    assert sum(found.values()) == 10_000


def test_damage_of_any_byte_is_found(saved):
    whole = saved.read_bytes()
    for i in range(0, len(whole) - 48, 997):
        saved.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        with pytest.raises(ValueError, match="its bytes are not those that were written"):
            Posterior.load(saved)
    saved.write_bytes(whole[:-48])  # as it was before files had a checksum
    assert Posterior.load(saved).draws == 3
    saved.write_bytes(whole)
    with h5py.File(saved, "r+") as file:  # as other programs add to it
        file.attrs["note"] = "mine"
    assert Posterior.load(saved).draws == 3


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def saved(tmp_path):
    return hostile.posterior().save(tmp_path / "posterior.nc")


def test_pickles_are_not_run(tmp_path):
    post, evidence = hostile.posterior(), tmp_path / "it was run"
    weights = {k: post.samples[k][0, 0] for k in post.model.net.parameters}
    path = save_network(tmp_path / "net.npz", post.model.net, weights)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    stream = io.BytesIO()
    np.save(stream, np.array([Bomb(evidence)], dtype=object), allow_pickle=True)
    for name in members:
        with zipfile.ZipFile(path, "w") as archive:
            for other, data in members.items():
                archive.writestr(other, stream.getvalue() if other == name else data)
        with pytest.raises(ValueError, match="cannot be read"):
            load_network(path)
        path.write_bytes(pickle.dumps(Bomb(evidence)))
        with pytest.raises(ValueError, match="cannot be read"):
            load_network(path)
    assert not evidence.exists()
    pickle.loads(pickle.dumps(Bomb(evidence)))  # the bomb is one
    assert evidence.exists()


def test_other_files_are_not_read(saved, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(4 * 5))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.ones((5, 4))
    layout = h5py.VirtualLayout(shape=(5, 4), dtype="f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", shape=(5, 4))
    whole, name = saved.read_bytes(), "constant_data/x"
    puts = {
        "is a link": lambda file: file.__setitem__(name, h5py.ExternalLink(str(tmp_path / "other.h5"), "x")),
        "is a link to": lambda file: file.__setitem__(name, h5py.SoftLink("/observed_data/y")),
        "lies in another file": lambda file: file.create_virtual_dataset(name, layout),
        "in another file": lambda file: file.create_dataset(name, (5, 4), "u1", external=[(str(secret), 0, 20)]),
        "more than the file can hold": lambda file: file.create_dataset(name, (10**6, 10**7), "f8", chunks=(10, 10)),
    }
    for message, put in puts.items():
        saved.write_bytes(whole)
        with h5py.File(saved, "r+") as file:
            del file[name]
            put(file)
        with pytest.raises(ValueError, match=message):
            Posterior.load(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s["net"]["settings"].update(channels=10**9),
            "asks for 1000000000, but no weight has more than 7 rows",
        ),
        (lambda s: s["net"].update(rep_out=[[[{"kind": "vector"}] * 40, 1]]), "a representation has size"),
        (lambda s: s["net"].update(group={"classical": ["SO", 400]}), r"its group is \['SO', 400\]"),
        (lambda s: s["net"].update(group={"classical": ["expm", 2]}), "names a group 'expm'"),
        (lambda s: s["net"].update(rep_in=[[[{"kind": "exec"}], 4]]), "names a representation 'exec'"),
        (lambda s: s["net"].update(network="Popen"), "a network 'Popen', which this version does not know"),
        (lambda s: s.update(likelihood="eval"), "likelihood must be given, as 'eval' of the file is not ours"),
        (lambda s: s.update(sigma_b={"__import__": {}}), "family must be one of .*, got '__import__'"),
        (lambda s: s.update(format=99), "it has format 99; this version reads up to 3: upgrade"),
        (lambda s: s.pop("net"), "it has no 'net'"),
        (lambda s: s["net"].update(settings=3), "its content is not what was written"),
    ],
)
def test_descriptions_that_were_made_up_are_named(saved, change, message):
    with h5py.File(saved, "r+") as file:
        spec = json.loads(file.attrs["bayes_rpp"])
        change(spec)
        file.attrs["bayes_rpp"] = json.dumps(spec)
    with pytest.raises(ValueError, match=rf"posterior\.nc: .*{message}"):
        Posterior.load(saved)


def test_deep_nesting_is_refused(saved):
    with h5py.File(saved, "r+") as file:
        spec = json.loads(file.attrs["bayes_rpp"])
        for _ in range(60):
            spec["net"] = {"network": "LinearPath", "net": spec["net"], "settings": {}}
        file.attrs["bayes_rpp"] = json.dumps(spec)
    with pytest.raises(ValueError, match="nested more than 50 deep"):
        Posterior.load(saved)


def test_samples_that_do_not_fit_the_network_are_named():
    post = hostile.posterior()
    data = {"x": post.x, "y": post.y}
    for change, message in (
        ({"output.weight": None}, "samples must have all sites, got no 'output.weight'; the model has layers"),
        ({"noise": None}, "samples must have all sites, got no 'noise'"),
        ({"output.bias": np.zeros((2, 3, 4))}, r"samples\['output\.bias'\] must be.*, got float64 \(2, 3, 4\)"),
        ({"output.bias": np.zeros((2, 3, 2), dtype=int)}, r"samples\['output\.bias'\].*, got int64 \(2, 3, 2\)"),
        ({"layers.0.weight": np.zeros((0, 3, 7, 4))}, r"samples must have one chain and draw at least, got \(0, 3\)"),
    ):
        samples = {k: v for k, v in (post.samples | change).items() if v is not None}
        with pytest.raises(ValueError, match=message):
            Posterior(post.model, samples, **data)
