"""`fit`: the one verb. It checks what it is given and hands the task to the method's file in the engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from bayes_rpp._arrays import whole_number
from bayes_rpp._given import described
from bayes_rpp._types import ArrayLike, EngineName
from bayes_rpp.engines.base import LOCK, check_engine
from bayes_rpp.inference.methods import GENTLE, HMC, MAP, DeepEnsemble, Laplace, Method
from bayes_rpp.inference.optimise.lagging import restarted, warn_of_lagging
from bayes_rpp.inference.optimise.members import in_parts
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.process.process import check_process, fit_process, start_numbers
from bayes_rpp.inference.run.checkpoint import Checkpoint
from bayes_rpp.inference.run.mean import warn_if_mean
from bayes_rpp.inference.run.parallel import check_executor
from bayes_rpp.inference.run.rounding import warn_of_rounding
from bayes_rpp.inference.run.start import start_of, warn_if_worse
from bayes_rpp.inference.run.stream import Stream, examples_of, is_dataset, is_loader
from bayes_rpp.inference.run.task import Callback, Task, check_method, few_threads, run_task
from bayes_rpp.models.data import check_data
from bayes_rpp.models.model import Model
from bayes_rpp.models.process.gaussian_process import GaussianProcess
from bayes_rpp.priors.parametrization import get_parametrization

if TYPE_CHECKING:
    from torch.utils.data import DataLoader, Dataset


def fit(
    model: Model | GaussianProcess,
    x: ArrayLike | Dataset[Any] | DataLoader[Any],
    y: ArrayLike | None,
    method: Method,
    *,
    engine: EngineName | None = None,
    seed: int = 0,
    init: Posterior | Mapping[str, NDArray] | None = None,
    callbacks: Sequence[Callback] | Callback = (),
    progress: bool = True,
    validation: tuple[ArrayLike, ArrayLike] | Dataset[Any] | DataLoader[Any] | None = None,
    checkpoint: Checkpoint | str | Path | None = None,
    executor: Executor | None = None,
) -> Posterior:
    """Find the posterior of a model.

    Args:
        model: a Model (network, prior and likelihood), or a GaussianProcess, whose numbers MAP, NUTS and HMC find.
        x: (n, d_in) inputs, d_in the size of rep_in, or (n, *input_shape) of a network that has one, such as images.
            Columns of a size of about 1 train best. `Particles`, for a ParticleNetwork. A Dataset of torch that gives
            pairs (input, output), which is read once; or a DataLoader of one, with MAP and DeepEnsemble in Pyro, which
            is gone through in each epoch with its own batches, order and augmentation, the same for all members. The
            posterior then has the first 2,000 examples as its data.
        y: (n, d_out) outputs; scaled likewise, and invariant ones centred. With Categorical, classes (n,) or (n, 1). Of
            each particle, a list of arrays; of energies and forces, a pair. None, if x is a Dataset or DataLoader.
        method: MAP(), DeepEnsemble(members=10), Laplace(), SVI(), NUTS(), HMC(), MCLMC(), MILE(), ChEES(),
            SGLD(), SGHMC().
        engine: "numpyro" or "pyro". None: numpyro if it is installed, else pyro; what runs the network, if it is a
            softened module. Both start from the same values and give the same members up to rounding.
        seed: of initial values and the order of data.
        init: start from a posterior (its first draws, or the modes of Laplace's, linearised, where there is one for
            each member), or from weights by parameter name, each (*shape) for all members or (members, *shape), in
            place of draws from the prior. With methods that run chains, one draw for each. From weights by name,
            such as a trained module's `net.initial`, MAP, DeepEnsemble and Laplace take smaller steps by default.
        callbacks: functions of Progress, called after each epoch; one that returns True stops the training.
        progress: whether to show a bar with loss and equivariance error.
        validation: (x, y), a Dataset or a DataLoader, whose loss is recorded after each epoch, and that early stopping
            looks at.
        checkpoint: a folder to keep the run in: the same call goes on where a stopped or killed one was, and ends with
            the same result. Checkpoint(path, every=seconds) says how often.
        executor: any concurrent.futures.Executor, such as a process pool, loky's, or Dask's `client.get_executor()`, to
            run in: one task for each chain of NUTS and HMC; of DeepEnsemble one for each worker, which trains its share
            of the members. The result is the same. What a lost worker had is done again, or goes on with a checkpoint
            in a folder that all workers see. Callbacks are copied into each task and see its members; trackers hold all
            of them in the end. Threads take turns, as the engines share their state.

    Returns:
        Posterior, with samples of the weights of the shape (chain, draw): (1, members) of MAP and ensembles, (1, draws)
        of Laplace, (members, draws) of SVI, (chains, draws) of those that run chains.

    Warns:
        ConvergenceWarning: if the chains of NUTS or HMC cannot be trusted, with the reason; or if the posterior of a
            network predicts numbers no better than the mean of y.
        UserWarning: if MAP or DeepEnsemble, without patience, ends where the training data are less likely than at
            init, with the reason; not where only weights of the prior's own size have shrunk, as the model asks for.

    Raises:
        TypeError, ValueError: naming the argument that does not fit, and what would do.
        ImportError: if the engine's packages are not installed; MAP of a GaussianProcess needs none.
        TrainingError: if a loss becomes NaN or infinite.
    """
    if not isinstance(model, (Model, GaussianProcess)):
        raise TypeError(
            f"model must be a Model or a GaussianProcess, got {described(model)}; Model(net, sigma_b=0.1) would do"
        )
    check_method(method)
    stream = None
    if is_loader(x):
        _check_streamed(model, method, engine, checkpoint, executor)
        stream = Stream(model, x, y)  # type: ignore[arg-type]
        x, y = stream.x, stream.y
        method = replace(method, batch_size=stream.batch_size)  # type: ignore[call-arg]  # MAP or DeepEnsemble
    else:
        x, y = check_data(model, *examples_of(x, y))
    alone = isinstance(model, GaussianProcess) and isinstance(method, MAP)  # numpy and scipy do it
    chosen = check_engine("pyro" if stream else engine, model.engines, is_used=not alone)
    if isinstance(model, Model):
        warn_of_rounding(chosen, x=x, y=y)
    whole_number(seed, "seed", 0)
    if is_loader(validation) or is_dataset(validation):
        validation = examples_of(validation, None, "validation")
    if validation is not None:
        if not isinstance(validation, (tuple, list)) or len(validation) != 2:
            raise TypeError(f"validation must be a pair (x, y), got a {type(validation).__name__}")
        validation = check_data(model, *validation, names=("validation x", "validation y"))
    callbacks = (callbacks,) if callable(callbacks) else callbacks
    if not isinstance(callbacks, Iterable):
        raise TypeError(
            f"callbacks must be functions of Progress, got {callbacks!r}; EquivarianceTracker(group) would do"
        )
    for callback in callbacks:
        if not callable(callback) or isinstance(callback, type):
            raise TypeError(
                f"callbacks must be functions of Progress, got {callback!r}; EquivarianceTracker(G) would do"
            )
    names = [c.name for c in callbacks if hasattr(c, "name")]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(
            f"callbacks must have records of different names, got {twice.pop()!r} twice; EquivarianceTracker(group, "
            "name=...) would do"
        )
    fitted: Any = model  # what follows is of the one or of the other
    functions = isinstance(model, GaussianProcess)
    if functions:
        check_process(method, callbacks=callbacks, validation=validation, checkpoint=checkpoint)
    elif not model.sites:
        raise ValueError(
            "model must have something to infer, got priors that fix every weight at 0 (no map between rep_in and "
            "rep_out is equivariant, and sigma_b is 0); a positive sigma_b would do"
        )
    untrained = getattr(getattr(model, "net", None), "untrained", ())
    if untrained:
        raise ValueError(
            f"model must have a module whose batch normalisation has seen data, got {', '.join(untrained)} that has "
            "not and does nothing; running the module over the data in training mode, or loading its state_dict, "
            "before soften, would do; and so would SoftModule, which trains it along"
        )
    form = get_parametrization(model.parametrization or "whitened")
    if not functions and isinstance(method, MAP) and model.infers_sigmas and not form.has_mode:
        raise ValueError(
            "parametrization must be one in which a model with inferred sigmas has most probable weights, got "
            f"{model.parametrization!r}; 'whitened' or None would do, or SVI or NUTS"
        )
    check_executor(executor)
    _check_taken(method, callbacks=callbacks or None, validation=validation, executor=executor, checkpoint=checkpoint)
    if isinstance(method, HMC) and method.chain_method == "vectorized" and chosen == "pyro":
        raise ValueError(
            "chain_method must be 'parallel' or 'sequential' for Pyro, whose kernels advance one chain, got "
            "'vectorized'; engine='numpyro' would do as well"
        )
    weights: Any = None
    if init is not None and isinstance(method, DeepEnsemble) and method.restarts:
        raise ValueError(f"restarts must be 0 where init gives the starts, got {method.restarts}; init=None would do")
    if init is not None:
        weights = start_numbers(fitted, init) if functions else start_of(fitted, init, method)
    if not functions and isinstance(init, Mapping) and isinstance(method, MAP) and method.learning_rate is None:
        method = replace(method, learning_rate=GENTLE)
    if isinstance(checkpoint, (str, Path)):
        checkpoint = Checkpoint(checkpoint)
    elif checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        raise TypeError(f"checkpoint must be a folder's path, got {checkpoint!r}")
    task = Task(
        fitted,
        x,
        y,
        method,
        chosen,
        int(seed),
        weights,
        tuple(callbacks),
        bool(progress),
        validation,
        checkpoint,
        executor,
        stream,
    )
    if functions:
        with nullcontext() if executor is not None else LOCK, few_threads(task):
            return fit_process(task)
    if executor is not None and isinstance(method, DeepEnsemble):
        post = in_parts(task)
    else:
        with nullcontext() if executor is not None else LOCK:
            post = run_task(task)
    if isinstance(method, DeepEnsemble):
        with LOCK:
            post = restarted(task, post, run_task)
        warn_of_lagging(task, post)
    warn_if_mean(post, method)
    # With patience the end is the epoch that validation finds best, the start among them.
    if weights is not None and isinstance(method, MAP) and not isinstance(method, Laplace) and method.patience is None:
        warn_if_worse(post, weights, method.rate, task.size)
    return post


def _check_streamed(model: Any, method: Any, engine: Any, checkpoint: Any, executor: Any) -> None:
    """Raise for what does not go with a DataLoader."""
    if type(method) not in (MAP, DeepEnsemble) or method.polish or getattr(method, "restarts", 0):
        raise ValueError(
            f"method must be MAP or DeepEnsemble, without polish and restarts, where x is a DataLoader, got {method}; "
            "arrays, or the DataLoader's dataset, would do"
        )
    if engine == "numpyro" or (isinstance(model, Model) and "pyro" not in model.engines):
        raise ValueError("engine must be 'pyro' where x is a DataLoader, got 'numpyro'; its dataset would do")
    for name, given in (("checkpoint", checkpoint), ("executor", executor)):
        if given is not None:
            raise ValueError(f"{name} must be None where x is a DataLoader, whose order is its own, got {given!r}")


def _check_taken(method: Method, **options: Any) -> None:
    """What only some methods understand."""
    kind = type(method).__name__
    epochs = "has no epochs", "the posterior's equivariance_error and metrics, which look at each draw,"
    reasons = {
        "callbacks": epochs,
        "validation": epochs,
        "executor": ("is one task", "the chains of NUTS and HMC and the members of DeepEnsemble"),
        "checkpoint": ("keeps no state", "another method"),
    }
    for name, given in options.items():
        if given is not None and name not in method.takes:
            why, instead = reasons[name]
            got = type(given).__name__
            raise ValueError(f"{name} must be None for {kind}, which {why}, got a {got}; {instead} would do")
