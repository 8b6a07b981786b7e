"""What notebooks show of networks, posteriors and comparisons."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import bayes_rpp as rpp
from bayes_rpp.analysis.verdict import Verdict
from bayes_rpp.inference.posterior.posterior import ASK

RNG = np.random.default_rng(0)
FIXED = ("color: black", "color: white", "background: #", "background-color", "color: #")


class Reader(HTMLParser):
    """The cells of the tables, row by row, and the text of the paragraphs; tags have to close."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.paragraphs, self.open = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "p":
            self.paragraphs.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "p" in self.open:
            self.paragraphs[-1] += data
        elif self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def shown(thing):
    html = thing._repr_html_()
    assert len(html) < 10_000
    assert not any(color in html for color in FIXED)  # the page's own, be it light or dark
    return Reader(html)


def test_networks():
    net = rpp.EMLP(rpp.Vector, rpp.Vector, rpp.O(3), layers=0, subgroups=[rpp.SO(2) * rpp.Trivial(1)])
    page = shown(net)
    assert page.paragraphs == [repr(net)]
    assert page.rows == [
        ["parameter", "shape", "rank of the subspace", "size"],
        ["output.weight", "(3, 3)", "1, 3", "9"],
        ["output.bias", "(3,)", "0, 1", "3"],
        ["all", "", "", "12"],
    ]


def test_models():
    prior = rpp.Prior("HalfNormal", {"scale": 1.0})
    model = rpp.Model(rpp.MLP(2, 1, layers=0), sigma_b=prior, likelihood=rpp.Poisson())
    given = {"net": repr(model.net), "sigma_a": "1.0", "sigma_b": str(prior), "likelihood": str(model.likelihood)}
    assert dict(shown(model).rows) == given | {"scale": "fan_in", "parametrization": "None", "inferred": "sigma_b"}


@pytest.mark.parametrize("evidence", [None, -12.345678])
def test_posteriors(evidence):
    net = rpp.MLP(2, 1, layers=0)
    model = rpp.Model(net, likelihood=rpp.Gaussian(rpp.Prior("HalfNormal", {"scale": 1.0})))
    samples = {k: RNG.normal(size=(2, 3, *p.shape)) for k, p in net.parameters.items()} | {"noise": np.ones((2, 3))}
    made = {"method": "Own(a < b)", "engine": "pyro", "log_evidence": evidence}
    post = rpp.Posterior(model, samples, x=np.ones((4, 2)), y=np.ones((4, 1)), **made)
    rows = dict(shown(post).rows)
    wanted = {"method": "Own(a < b)", "engine": "pyro", "chains": "2", "draws": "3", "network": repr(net)}
    wanted |= {"inferred": "noise"} | ({} if evidence is None else {"log evidence": "-12.35"})
    assert rows.pop("ask")
    assert rows == wanted


def test_all_that_a_posterior_is_asked_is_there():
    assert all(callable(getattr(rpp.Posterior, verb)) for verb in re.findall(r"(\w+)\(", ASK))


def test_comparisons():
    index = pd.MultiIndex.from_tuples([("<b>none</b>", "soft")], names=["candidate", "model"])
    table = pd.DataFrame({"elpd": [-1.23456], "weight": [1.0]}, index=index)
    found = rpp.analysis.Comparison(
        table, None, Verdict(None, (), ["a < b holds & that's it"], ["x > y"]), {}, {}, {}, None, None
    )
    page = shown(found)
    assert page.rows[-1] == ["<b>none</b>", "soft", "-1.23", "1"]
    assert page.paragraphs == ["a < b holds & that's it\nDoubts:\n  - x > y"]
