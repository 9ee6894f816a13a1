import keras
import numpy as np
import pytest

from deepfashion_tf.training.optimizers import FusedAdam


def small_model() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(16, activation="tanh"), keras.layers.Dense(3)]
    )


def train(optimizer, steps: int = 30) -> tuple[list[float], list[np.ndarray]]:
    model = small_model()
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(steps):
        inputs, labels = rng.normal(size=(16, 8)).astype("float32"), rng.integers(0, 3, 16)
        losses.append(float(model.train_on_batch(inputs, labels)))
    return losses, model.get_weights()


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.01}, {"clipnorm": 0.1}])
def test_it_is_keras_adam(options):
    for rate in (0.01, keras.optimizers.schedules.CosineDecay(0.01, 30)):
        losses, weights = train(FusedAdam(rate, **options))
        expected_losses, expected = train(keras.optimizers.Adam(rate, **options))
        # Thirty steps of the same formula in another order of operations.
        np.testing.assert_allclose(losses, expected_losses, rtol=1e-4)
        for ours, theirs in zip(weights, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_it_survives_its_config_and_a_save(tmp_path):
    model = small_model()
    model.compile(FusedAdam(0.01), "mse")
    model.train_on_batch(np.ones((4, 8)), np.ones((4, 3)))
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(reloaded.optimizer, FusedAdam)
    for old, new in zip(model.optimizer.variables, reloaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(old, new)


def test_amsgrad_is_refused():
    with pytest.raises(ValueError, match="amsgrad"):
        FusedAdam(amsgrad=True)


@pytest.mark.slow
def test_two_replicas_train_as_one(tmp_path):
    """In a process of its own: logical devices must be made before TensorFlow starts."""
    import subprocess
    import sys

    program = """
import numpy as np, tensorflow as tf, keras
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from deepfashion_tf.training.optimizers import FusedAdam
weights = []
for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        model.compile(FusedAdam(0.01), "mse")
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    model.fit(x, x[:, :3], batch_size=8, shuffle=False, verbose=0)
    weights.append(model.get_weights())
np.testing.assert_allclose(weights[0][0], weights[1][0], atol=1e-6)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_variables_of_a_smaller_rate_shrink_less_too():
    slow, fast, frozen = (keras.Variable(np.ones(3), name=n) for n in ("slow", "fast", "frozen"))
    optimizer = FusedAdam(0.1, weight_decay=0.5)
    optimizer.build([slow, fast, frozen])
    optimizer.scale_rate([slow], 0.1)
    optimizer.scale_rate([frozen], 0.0)
    optimizer.apply([np.zeros(3, "float32")] * 3, [slow, fast, frozen])
    for variable, expected in ((slow, 0.995), (fast, 0.95), (frozen, 1.0)):
        np.testing.assert_allclose(variable, np.full(3, expected), rtol=1e-6)


def test_variables_of_a_smaller_rate_step_shorter():
    """They move as under an Adam of their own."""
    slow, fast = (keras.Variable(np.ones(3), name=name) for name in ("slow", "fast"))
    optimizer = FusedAdam(0.1)
    optimizer.build([slow, fast])
    optimizer.scale_rate([slow], 0.01)
    alone = keras.Variable(np.ones(3), name="alone")
    reference = keras.optimizers.Adam(0.001)
    reference.build([alone])
    rng = np.random.default_rng(0)
    for _ in range(20):
        gradient = keras.ops.convert_to_tensor(rng.normal(size=3), "float32")
        optimizer.apply([gradient, gradient], [slow, fast])
        reference.apply([gradient], [alone])
    np.testing.assert_allclose(slow, alone, rtol=1e-5)
    assert np.abs(fast - slow).max() > 0.1


def test_a_step_that_overflows_changes_nothing():
    """Neither weights nor state; the next one is the first step."""
    weights, alone = (keras.Variable(np.ones(3), name=name) for name in ("weights", "alone"))
    adam = FusedAdam(0.1)
    optimizer = keras.optimizers.LossScaleOptimizer(adam, initial_scale=8.0)
    optimizer.build([weights])
    reference = keras.optimizers.Adam(0.1)
    reference.build([alone])
    gradient = keras.ops.convert_to_tensor([8.0, -4.0, 2.0])
    before = [np.array(variable) for variable in (weights, *adam.variables)]
    for overflow in (np.inf, np.nan):
        optimizer.apply([gradient * overflow], [weights])
        for old, variable in zip(before, (weights, *adam.variables), strict=True):
            np.testing.assert_array_equal(old, variable)
    # Halved twice.
    assert float(optimizer.dynamic_scale) == 2.0
    for _ in range(3):
        optimizer.apply([gradient], [weights])
        reference.apply([gradient / 2.0], [alone])
        # The same formula in another order of operations.
        np.testing.assert_allclose(weights, alone, rtol=1e-6)
    assert int(optimizer.iterations) == 3
