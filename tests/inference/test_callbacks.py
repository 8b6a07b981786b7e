import numpy as np
import pytest

from bayes_rpp import SO, DeepEnsemble, EquivarianceTracker, O, S, Scalar, Vector, fit
from tests.inference.known import LinearProblem


def run(tracker, engine, epochs=7, **options):
    problem = LinearProblem()
    method = DeepEnsemble(members=2, epochs=epochs)
    return fit(
        problem.model, problem.x, problem.y, method, engine=engine, callbacks=[tracker], progress=False, **options
    )


def test_records_error_and_loss_by_member_and_epoch(engine):
    tracker = EquivarianceTracker(O(3), every=3)
    post = run(tracker, engine)
    np.testing.assert_array_equal(tracker.epoch, [1, 3, 6, 7])
    assert tracker.error.shape == tracker.loss.shape == (2, 4)
    record = post.training["equivariance_error"]
    np.testing.assert_array_equal(np.isfinite(record[0]), [True, False, True, False, False, True, True])
    np.testing.assert_array_equal(record[:, tracker.epoch - 1], tracker.error)
    np.testing.assert_array_equal(post.training["loss"][:, tracker.epoch - 1], tracker.loss)
    now = post.equivariance_error(post.x[:100], seed=0).mean(axis=-1)[0]
    np.testing.assert_allclose(tracker.error[:, -1], now, rtol=1e-6)


def test_several_groups_at_once(engine):
    whole, part = EquivarianceTracker(O(3)), EquivarianceTracker(SO(3), name="error_of_rotations")
    problem = LinearProblem()
    both = [whole, part]
    post = fit(problem.model, problem.x, problem.y, DeepEnsemble(members=2, epochs=1), engine=engine, callbacks=both,
               progress=False)  # fmt: skip
    assert {"equivariance_error", "error_of_rotations"} <= set(post.training)


def test_one_tracker_serves_one_fit_after_another(engine):
    tracker = EquivarianceTracker(O(3))
    run(tracker, engine, epochs=2)
    run(tracker, engine, epochs=3)
    np.testing.assert_array_equal(tracker.epoch, [1, 2, 3])


def test_points_of_the_users_own(engine):
    x = np.random.default_rng(9).normal(size=(5, 4))
    tracker = EquivarianceTracker(O(3), x=x)
    post = run(tracker, engine, epochs=1)
    want = post.equivariance_error(x, seed=0).mean(axis=-1)[0]
    np.testing.assert_allclose(tracker.error[:, 0], want, rtol=1e-6)


def test_bad_input_is_named(engine):
    with pytest.raises(TypeError, match=r"group must be a Group, got 'O\(3\)'"):
        EquivarianceTracker("O(3)")
    with pytest.raises(ValueError, match="every must be a whole number >= 1, got 0"):
        EquivarianceTracker(O(3), every=0)
    with pytest.raises(
        ValueError, match=r"x must be finite, got NaN or infinite values in 1 of 1 rows \(first: row 0\)"
    ):
        EquivarianceTracker(O(3), x=[[np.nan]])
    with pytest.raises(ValueError, match=r"group of the tracker must act as that of the network, got S\(5\), under"):
        run(EquivarianceTracker(S(5)), engine)
    assert (Scalar + Vector)(S(5)).size == 6


def test_the_last_epoch_is_recorded_where_training_stops_early(engine):
    tracker, problem = EquivarianceTracker(O(3), every=10), LinearProblem()
    both = [tracker, lambda progress: progress.epoch == 4]
    fit(problem.model, problem.x, problem.y, DeepEnsemble(members=2, epochs=50), engine=engine, callbacks=both,
        progress=False)  # fmt: skip
    np.testing.assert_array_equal(tracker.epoch, [1, 4])


def test_names_of_records_are_checked(engine):
    problem = LinearProblem()
    twice = [EquivarianceTracker(O(3)), EquivarianceTracker(SO(3))]
    with pytest.raises(
        ValueError, match="callbacks must have records of different names, got 'equivariance_error' twice"
    ):
        fit(problem.model, problem.x, problem.y, DeepEnsemble(), engine=engine, callbacks=twice)
    for name in ("loss", "a/b", ""):
        with pytest.raises(ValueError, match="name must be a word, got"):
            EquivarianceTracker(O(3), name=name)
    with pytest.raises(RuntimeError, match="nothing is recorded"):
        _ = twice[0].error
