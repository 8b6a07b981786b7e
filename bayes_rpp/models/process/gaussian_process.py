"""GaussianProcess: the residual pathway prior over functions, f = f_G + f_res, whose posterior is exact."""

from __future__ import annotations

from bayes_rpp._arrays import Array
from bayes_rpp._types import ArrayLike
from bayes_rpp.models.process.bound import BoundProcess
from bayes_rpp.models.process.prior import FunctionPrior


class GaussianProcess(FunctionPrior):
    """p(y, f | x): f = f_1 + f_2 + ... + f_res, independent Gaussian processes, f_k equivariant under the k-th group.

    f_k has the covariance sigma_k^2 P_k k P_k^T, with P_k the projector on equivariant functions (the average over the
    group) and k the kernel; f_res has sigma_b^2 k. It is the prior of `Model` over functions in place of weights: the
    posterior and the evidence are exact given the numbers, which are few, up to some thousand examples.

    Args:
        rep_in, rep_out: how the groups act on the columns of x and y, by orthogonal matrices.
        group: a compact Group, or a list of groups on the same R^dim, nested or not, each with a pathway of its own,
            the most symmetric first.
        kernel: RBF(), Matern52(), Polynomial(degree), and sums and products of them. None: RBF(), or RBF() +
            Polynomial(3), as the evidence of up to 100 of the examples says.
        sigma_a: standard deviation of the equivariant part, in units of y: a number >= 0, or a distribution, and then
            it is inferred (site "sigma_a"). Of a list of groups a list of these (sites "sigma_a_0", ...).
        sigma_b: that of the residual; 0 is strictly equivariant.
        lengthscale: of the kernel, in units of x: a number, a distribution, or a dict of these by kind of block
            ("Scalar", "Vector", ...; `kinds` has their names), sites "lengthscale.Vector" and so on. A kernel of
            several parts has sites "lengthscale_0.Vector", "lengthscale_1.Vector", ....
        likelihood: Gaussian(noise), for which all is exact, or another Likelihood: then the posterior of f is Laplace's
            approximation around its mode (Rasmussen and Williams 2006, Section 3.4).
        mean: "constant" adds a constant that the first group leaves fixed, of any size, "linear" also a linear map that
            is equivariant under it; None neither.
        ard: whether columns that no group moves have a lengthscale each.
        scale: "data" divides each covariance, of each irreducible part of rep_out, by its mean variance over the
            training inputs, so that sigma_a and sigma_b are standard deviations of function values and
            sigma_b / sigma_a says how asymmetric these are. None takes P k P^T and k as they are.
        offset: (d_out,) what is taken from y first. None: what the first group leaves fixed of y's mean.
        mean_size: standard deviation of the mean around it, in units of y (of a linear mean, over the training inputs).
        tolerance: of averages over groups that are not finite: relative error of K(gx, x') = rho(g) K(x, x') at the
            training inputs, which decides over how many elements the average is.
        inducing: up to how many of the training inputs are inducing points, a whole number >= 1: f is known by its
            values there, and the evidence by a lower bound (Titsias 2009), in a time that grows with the number of
            examples. None: all is exact where that fits 4 GB (3,000 examples of vectors of space), and else there are
            100 to 1,000 points, fewer the larger the data and the group. With a Gaussian likelihood alone.
        conservative: True: y has an energy E and its forces F = -dE/dx, rep_out is Scalar + rep_in; or forces alone,
            rep_out is rep_in. E is the Gaussian process, invariant under the groups but for its residual, and F its
            derivatives, so that predictions and draws of both are of one function. Columns of x, such as range(9):
            F is minus the derivative by these, and other columns, such as charges, have no force. "data" of `scale`
            makes the sigmas standard deviations of forces. The noise is Gaussian, or EnergyForces with a size each.
        particles: `Particles` of one size, or the label of each particle, ["N", "H", "H"]: x is their positions, and
            `fit` takes `Particles`, and y a pair (energies, forces). The symmetric part is a function of the inverse
            distances of all pairs; the residual is a polynomial of the second degree in positions about their mean,
            whose coefficients are such functions: what a field does to a molecule. Both are averaged over the orders
            of particles of the same type (sGDML: Chmiela et al. 2018). rep_in is k * Vector, group O(d), and
            conservative True; kinds of lengthscales are "distances" and "positions", the latter of the residual.

    Each number that is left out is inferred, with a broad distribution around the scale of the data. Where all
    sigmas and the noise are, MAP multiplies standard deviations by what leave-one-out says
    (`FunctionPosterior.inflation`).

    Attributes:
        groups: all of them; group: the first.
        rep_in, rep_out: bound to the first group.
        forces: the columns and outputs of forces, where it is conservative.
        kinds: name of each kind of block -> its columns of x.
        latents: site -> Prior of all numbers to infer.

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
    """

    def pyro(self, x: ArrayLike, y: ArrayLike) -> Array:
        """The model function for Pyro: its sites are the numbers to infer, and the evidence of y, a factor "y".

        Args:
            x: (n, d_in).
            y: (n, d_out).
        """
        return BoundProcess.of(self, x, y).pyro()

    def numpyro(self, x: ArrayLike, y: ArrayLike) -> Array:
        """The model function for NumPyro, as `pyro`."""
        return BoundProcess.of(self, x, y).numpyro()
