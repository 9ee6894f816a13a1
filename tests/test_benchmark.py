"""The benchmark runs and counts; how fast anything is, no test says."""

import dataclasses
from contextlib import ExitStack

import pytest
from conftest import make_narrow

from benchmarks import peer
from benchmarks.options import Options
from benchmarks.prediction import BARE, ENGINE, INPUT, benchmark_prediction
from benchmarks.rates import Rate, race
from benchmarks.worker import Worker, open_peers
from deepfashion_tf.data.deepfashion import read_split
from deepfashion_tf.errors import InputError


def test_contestants_take_turns():
    turns = []
    found = race({name: lambda name=name: turns.append(name) or 3 for name in "ab"}, rounds=2)
    first, rates = next(found), next(found)
    assert not list(found) and turns == list("ababab")
    assert [(rate.name, len(rate.values)) for rate in rates] == [("a", 2), ("b", 2)]
    assert [rate.values[:1] for rate in rates] == [rate.values for rate in first]
    assert all(rate.median > 0 for rate in rates)


@pytest.mark.slow
def test_the_input_is_measured_beside_what_is_installed(wardrobe, capsys):
    from benchmarks.input import LIMIT, benchmark_input, check_boxes

    split = read_split(wardrobe, "train")
    check_boxes(split, wardrobe)
    (rates,) = benchmark_input(split, image_size=32, rounds=1)
    names = [rate.name for rate in rates]
    ours = ["training, files", "training, cache", "training, cache on disk", "evaluation, files"]
    assert names[:6] == [LIMIT, "decoding, resizing", *ours]
    assert "torchvision" in names or "deepfashion_tf[bench]" in capsys.readouterr().out


@pytest.mark.slow
def test_the_rows_of_a_table_are_read_in_each_format():
    from benchmarks.tables import benchmark_tables

    (seconds,) = benchmark_tables(rows=4000, rounds=1)
    assert list(seconds) == [".csv", ".parquet", ".xlsx"] and all(map(min, seconds.values()))


def test_images_without_boxes_are_no_benchmark(challenge):
    from benchmarks.input import check_boxes

    (challenge / "split" / "train_bbox.txt").unlink()
    with pytest.raises(InputError, match="without a box"):
        check_boxes(read_split(challenge, "train"), challenge)


@pytest.mark.slow
def test_random_changes_are_measured_beside_those_of_keras(monkeypatch):
    from benchmarks import augmentation

    monkeypatch.setattr(augmentation, "_BATCHES", 1)
    (rates,) = augmentation.benchmark_augmentation(32, 4, rounds=1)
    names = [rate.name for rate in rates]
    assert {"flip, jitter", "erasing", "Keras, RandomErasing"} <= set(names)
    assert all(rate.median > 0 for rate in rates)


@pytest.mark.slow
def test_precisions_are_measured_beside_float32(monkeypatch):
    from benchmarks import precision
    from deepfashion_tf.runs.config import TrainConfig

    make_narrow(monkeypatch, "resnet50")
    monkeypatch.setattr(precision, "STEPS", 1)
    config = TrainConfig(backbone="resnet50", weights="none", image_size=32, batch_size=2)
    (rates,) = precision.benchmark_precision(config, rounds=1)
    names = [rate.name for rate in rates]
    assert names[:2] == [precision.PLAIN, "mixed_bfloat16"]


def test_a_network_without_a_peer_is_no_contest():
    from benchmarks.training import benchmark_first_step
    from deepfashion_tf.runs.config import TrainConfig

    config = TrainConfig(backbone="keras:MobileNetV2", weights="none")
    with pytest.raises(InputError, match="no peer in PyTorch"):
        next(benchmark_first_step(config, rounds=1))


def test_gradients_are_measured_beside_tensorflows(monkeypatch):
    from benchmarks import depthwise

    monkeypatch.setattr(depthwise, "LAYERS", [(8, 4, 5, 2)])
    found = list(depthwise.benchmark_depthwise(batch_size=2, rounds=1))
    assert [name.rpartition(", ")[2] for name, *_ in found] == ["float32", "bfloat16"]
    assert all(rate.median > 0 for _, *rates in found for rate in rates)


@pytest.mark.slow
def test_frozen_stages_are_measured_alone(monkeypatch):
    from benchmarks import frozen
    from deepfashion_tf.runs.config import TrainConfig

    pytest.importorskip("openvino")
    make_narrow(monkeypatch, "resnet50")
    config = TrainConfig(
        backbone="resnet50", weights="none", image_size=32, batch_size=2, freeze_stages=3
    )
    (rates,) = frozen.benchmark_frozen(config, rounds=1)
    assert [rate.name for rate in rates][-1] == frozen.BOUND


@pytest.mark.slow
def test_what_a_checkpoint_costs_is_told(monkeypatch, capsys, tmp_path):
    from benchmarks import precision, scaling
    from deepfashion_tf.runs.config import TrainConfig

    make_narrow(monkeypatch, "resnet50")
    monkeypatch.setattr(precision, "STEPS", 1)
    monkeypatch.chdir(tmp_path)
    config = TrainConfig(backbone="resnet50", weights="none", image_size=32, batch_size=2)
    scaling.benchmark_saving(config, images=5000, rounds=2)
    told = " ".join(capsys.readouterr().out.split())
    assert told.count("an epoch of 5000 images takes") == 2
    assert "median of 1," in told and "median of 2," in told
    assert not list(tmp_path.iterdir())


class Told:
    """A process that has ended, and has said this."""

    returncode = 0

    def __init__(self, said: str) -> None:
        self.said = said

    def communicate(self) -> tuple[str, str]:
        return self.said, "the reason"


def test_the_rate_of_an_epoch_is_read_from_what_train_says(monkeypatch):
    from benchmarks import scaling
    from deepfashion_tf.runs.config import TrainConfig

    said = "".join(f"epoch {i}/3  loss 1.0  |  val loss 2.0  {i}7 images/s\n" for i in (1, 2, 3))
    commands = []

    def start(command, **options):
        commands.append(command)
        return Told(said)

    monkeypatch.setattr(scaling.subprocess, "Popen", start)
    first, rates = scaling.benchmark_workers(TrainConfig(), workers=2, rounds=2)
    assert first[0].values == (27.0, 37.0)
    names = [rate.name for rate in rates]
    assert names[:2] == [scaling.ALONE, "2 workers"]
    assert rates[0].values == (27.0, 37.0) * 2
    # What two do together, each with half of the batch and half of the images.
    assert names[-1] == "2 that train on their own"
    assert rates[-1].values == (54.0, 74.0) * 2
    assert commands[3][commands[3].index("--batch-size") + 1] == "16"
    assert commands[3][commands[3].index("--wardrobe-images") + 1] == "1500"
    said = "epoch 1/3"
    with pytest.raises(InputError, match="nothing was measured"):
        next(scaling.benchmark_workers(TrainConfig(), workers=2, rounds=1))


@pytest.mark.slow
def test_a_prediction_is_measured_beside_its_halves_and_its_savedmodel(trained):
    (rates,) = benchmark_prediction(trained.run, trained.val, rounds=1)
    ours, *names = [rate.name for rate in rates]
    assert ours.startswith("predict, tensorflow ")
    assert names == ["predict, SavedModel", INPUT, ENGINE, BARE]
    assert all(rate.median > 0 for rate in rates)


PROGRAM = """
import runpy
serve = runpy.run_path({peer!r})["serve"]
serve({{"count": lambda job: lambda: job["n"]}})
"""


@pytest.fixture
def counting(monkeypatch, tmp_path):
    """Puts a program that only counts in the place of the peers."""
    path = tmp_path / "peer.py"
    path.write_text(PROGRAM.format(peer=peer.__file__))
    monkeypatch.setattr(peer, "__file__", str(path))


def test_a_worker_works_as_often_as_it_is_asked(counting):
    with Worker("counter", {"what": "count", "n": 7}) as worker:
        assert [worker.work(), worker.work()] == [7, 7]
        assert worker.seconds > 0 and worker.peak_memory() > 1
        process = worker._process
    assert process.returncode is not None


def test_a_worker_that_cannot_work_is_told_with_its_last_words(counting):
    with pytest.raises(InputError, match="counter does not work: KeyError: 'nothing'"):
        Worker("counter", {"what": "nothing"})


def test_peers_are_started_where_their_packages_are(counting, tmp_path, capsys):
    jobs = {"counter": {"what": "count", "n": 3}}
    with ExitStack() as stack:
        assert open_peers(stack, jobs, None, ["no_such_package"]) == {}
        assert "deepfashion_tf[bench]" in " ".join(capsys.readouterr().out.split())
        peers = open_peers(stack, jobs, None, ["json"])
        assert peers["counter"].work() == 3
        with pytest.raises(InputError, match=r"--peer-python .* cannot be started"):
            open_peers(stack, jobs, tmp_path / "no-python", ["json"])


@pytest.mark.slow
def test_plain_keras_trains_the_same_network(monkeypatch):
    from benchmarks import precision
    from deepfashion_tf.models.variants import BACKBONES, VARIANTS
    from deepfashion_tf.runs.config import TrainConfig

    name = BACKBONES["seresnext50"]
    narrow = dataclasses.replace(VARIANTS[name], blocks=(1, 1, 1, 1), base_width=1, groups=8)
    monkeypatch.setitem(VARIANTS, name, narrow)
    config = TrainConfig(
        backbone="seresnext50",
        heads="pooled",
        weights="none",
        image_size=32,
        batch_size=2,
    )
    work = precision.plain_steps_of(config, steps=3)
    assert [work(), work(), work()] == [2, 6, 6]


def test_operations_are_the_papers():
    """He et al. 2016, table 1: 3.8 billion multiply-adds for ResNet-50, by the stride on the 1x1;
    Xie et al. 2017, table 1: 4.2 for ResNeXt-50."""
    from benchmarks.limit import operations

    assert operations("resnet50", 224) / 2 == pytest.approx(3.8e9, rel=0.02)
    assert operations("seresnext50", 224) / 2 == pytest.approx(4.2e9, rel=0.02)


def test_contests_of_training_print_their_tables(monkeypatch, capsys):
    from benchmarks import contests, training

    names = [training.OWN, training.PLAIN, training.PEER]
    rates = [Rate(name, (4.0, 2.0, 3.0)) for name in names]
    monkeypatch.setattr(training, "benchmark_training", lambda *given: [rates])
    seconds = {training.OWN: [3.0, 1.0, 2.0], training.PLAIN: [5.0]}
    monkeypatch.setattr(training, "benchmark_first_step", lambda *given: [seconds])
    monkeypatch.setattr(training, "benchmark_memory", lambda *given: {"training": 4321})
    for what in ("step", "first-step", "memory"):
        contests.CONTESTS[what](Options(what, rounds=1))
    printed = capsys.readouterr().out
    assert printed.count("(1 of 1 round)") == 2
    assert "3.0" in printed and "1.00" in printed  # images a second, and beside PyTorch
    assert "0.40" in printed  # of the seconds of Keras
    assert "4321" in printed


def test_memory_is_told_as_it_is_measured(counting, monkeypatch, capsys):
    from benchmarks import training
    from deepfashion_tf.runs.config import TrainConfig

    class Interrupted(Worker):
        def work(self) -> int:
            if self.name == training.PLAIN:
                raise KeyboardInterrupt
            return super().work()

    jobs = {name: {"what": "count", "n": 7} for name in (training.OWN, training.PLAIN)}
    monkeypatch.setattr(training, "_jobs", lambda config: jobs)
    monkeypatch.setattr(
        training, "Worker", lambda name, job, own: Interrupted(name.partition(": ")[2], job)
    )
    with pytest.raises(KeyboardInterrupt):
        training.benchmark_memory(TrainConfig())
    assert f"training: {training.OWN}: " in capsys.readouterr().out


@pytest.mark.slow
def test_the_service_is_measured_beside_its_engine_and_ends_without_loss(
    trained, monkeypatch, capsys
):
    pytest.importorskip("fastapi", reason="the extra [serve] is not installed")
    from benchmarks import contests, service

    monkeypatch.setattr(service, "CLIENTS", (2,))
    options = Options("service", run=trained.run.directory, images=8, rounds=1)
    contests.CONTESTS["service"](options)
    printed = " ".join(capsys.readouterr().out.split())
    for name in (service.ENGINE, "service, 2 clients", "plain FastAPI, 2 clients"):
        assert name in printed
    assert "SIGTERM, exit code 0" in printed
