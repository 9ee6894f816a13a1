import numpy as np
import pytest

from deepfashion_tf.data.shares import Share, evaluation_plan, training_plan


def batches(plan) -> list[tuple[np.ndarray, np.ndarray]]:
    edges = np.cumsum(plan.sizes)[:-1]
    return list(zip(np.split(plan.places, edges), np.split(plan.counted, edges), strict=True))


@pytest.mark.parametrize("count", [1, 3, 7, 8, 9, 17, 100])
@pytest.mark.parametrize(("replicas", "batch_size"), [(1, 8), (2, 8), (4, 8), (8, 8), (3, 6)])
@pytest.mark.parametrize("make", [training_plan, evaluation_plan])
def test_together_the_replicas_see_each_image_once(count, replicas, batch_size, make):
    """Step by step what one device sees, whichever process feeds which replica."""
    alone = batches(make(count, batch_size, Share()))
    assert [places.tolist() for places, _ in alone] == [
        list(range(start, min(start + batch_size, count))) for start in range(0, count, batch_size)
    ]
    per_process = next(n for n in (4, 3, 2, 1) if replicas % n == 0)
    plans = [
        batches(make(count, batch_size, Share(replicas, first, per_process)))
        for first in range(0, replicas, per_process)
    ]
    for step, (expected, _) in enumerate(alone):
        of_step = [b for p in plans for b in p[step * per_process : (step + 1) * per_process]]
        seen = np.concatenate([places[counted] for places, counted in of_step])
        assert sorted(seen) == expected.tolist()
        sizes = {len(places) for places, _ in of_step}
        assert min(sizes) > 0 and max(sizes) - min(sizes) <= (make is training_plan)


def test_a_batch_smaller_than_the_replicas_keeps_the_statistics_of_one_device():
    for places, counted in batches(training_plan(3, 8, Share(4, 0, 4))):
        assert places.tolist() == [0, 1, 2] and counted.sum() <= 1


def test_the_places_before_a_step():
    plan = training_plan(21, 8, Share(2, 0, 2))
    assert plan.sizes.tolist() == [4, 4, 4, 4, 3, 2]
    assert plan.places_before(4) == 16 and not plan.is_even
    assert training_plan(21, 8, Share(2, 1, 1)).is_even
