"""What the tests check of the shapes that signatures say: beartype, by jaxtyping's hook on the modules of contracts.

Only arguments, results and fields that say shapes are checked. Of others a type is for type checkers: what does not fit
is an error of the package's own, which tests give wrong values to see.
"""

from inspect import isfunction

import beartype
import jaxtyping

import bayes_rpp._types

MODULES = [
    "bayes_rpp.inference.posterior.draws",
    "bayes_rpp.inference.run.callbacks",
    "bayes_rpp.models.likelihood",
    "bayes_rpp.models.likelihoods",
    "bayes_rpp.models.normal",
    "bayes_rpp.networks",
    "bayes_rpp.priors.pathway",
    "bayes_rpp.priors.subspaces",
    "bayes_rpp.symmetry.equivariance",
]


def install():
    """To be called before these modules are imported."""
    bayes_rpp._types.Float, bayes_rpp._types.Shaped = jaxtyping.Float, jaxtyping.Shaped
    jaxtyping.jaxtyped = jaxtyped  # which the hook puts before every function and class
    jaxtyping.install_import_hook(MODULES, f"{__name__}.checked")


def jaxtyped(*, typechecker, of=jaxtyping.jaxtyped):
    """That of jaxtyping, but functions that say no shapes stay as they are: a step in Pyro calls hundreds of them."""
    check = of(typechecker=typechecker)
    return lambda thing: check(thing) if not isfunction(thing) or _shapes(thing) else thing


def checked(function):
    """beartype, of what says shapes alone."""
    function.__annotations__ = shapes = _shapes(function)
    return beartype.beartype(function) if shapes else function


def _shapes(function):
    return {k: v for k, v in function.__annotations__.items() if "Shaped[" in str(v) or "Float[" in str(v)}
