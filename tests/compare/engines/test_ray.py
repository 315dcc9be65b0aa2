"""Real Ray clusters of two nodes on this machine; what is killed is what a test has started.

A table of a cluster should equal that of this machine: the same trials, each once, with scores
within one test example, as stacks of other sizes round differently.
"""

import collections
import functools
import importlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import leakyrelu
from leakyrelu._compare.data.tensor_task import tensor_task
from leakyrelu._compare.engines.run import run
from leakyrelu._compare.networks.recipe import make_recipe
from leakyrelu._compare.settings import make_settings
from leakyrelu._compare.statistics.rounds import wanted
from leakyrelu._compare.store.writing import Store
from leakyrelu._compare.training.train import Experiment
from leakyrelu._comparison.comparison import Comparison

ray = pytest.importorskip("ray")
engine = importlib.import_module("leakyrelu._compare.engines.ray")
Nodes = importlib.import_module("ray.cluster_utils").Cluster

SECONDS = 60  # after which a test gives up waiting
X = torch.randn(100, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > X[:, 1]).long()


@pytest.fixture(scope="module")
def nodes():
    one_core = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 * 2**20}
    started = Nodes(initialize_head=True, head_node_args=one_core)
    started.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    yield started
    ray.shutdown()
    started.shutdown()


@pytest.fixture
def connected(nodes):
    """As if the user had connected: workers stay warm from test to test."""
    if not ray.is_initialized():
        ray.init(nodes.address, log_to_driver=False, logging_level="ERROR")
    return nodes


@pytest.fixture
def disconnected(nodes):
    ray.shutdown()
    return nodes


class Notes:
    """A listener that remembers, and can do something once the way is chosen."""

    def __init__(self, then=lambda: None):
        self.resumed_with, self.way, self.finished, self.then = 0, "", [], then

    def resumed(self, trials):
        self.resumed_with = len(trials)

    def trainer_chosen(self, way):
        self.way = way
        self.then()

    def epoch_finished(self, batch, epoch, validation_score):
        pass

    def batch_finished(self, batch, trials):
        self.finished.extend(trial.key for trial in trials)


def small_net():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))


def experiment_of(model=small_net, loss=None, data=(X, Y)):
    task = tensor_task(data, kind="classification", loss=loss)
    settings = make_settings(
        task.fingerprint, ["relu", "elu", "gelu"], 4, 3, 0.01, batch_size=16, model="own"
    )
    return Experiment(task, settings, make_recipe(model, None, None))


def trained(experiment, directory, listener=None, *on):
    with Store(directory, experiment.settings, experiment.task.info, {}) as store:
        run(experiment, store, listener or Notes(), *on)
    return Comparison.read(directory)


def assert_same(found, expected):
    settings = expected.settings
    counts = collections.Counter(trial.key for trial in found.histories())
    assert counts == dict.fromkeys(wanted(settings, [], 0.0), 1)
    step = expected.task.score_step
    by_key = {trial.key: trial for trial in expected.histories()}
    for trial in found.histories():
        other = by_key[trial.key]
        assert trial.test_score == pytest.approx(other.test_score, abs=1.01 * step)
        for one, two in zip(trial.history, other.history, strict=True):
            assert one.train_loss == pytest.approx(two.train_loss, rel=1e-3)
    ours, theirs = (c.table().set_index("activation").sort_index() for c in (found, expected))
    assert list(ours.index) == list(theirs.index)
    assert list(ours.columns) == list(theirs.columns)


@functools.cache
def here(model=small_net):
    """Return what this machine gives, by itself."""
    directory = Path.cwd() / "here"
    try:
        return trained(experiment_of(model), directory)
    finally:
        shutil.rmtree(directory)


def wait_for(condition):
    """Return what a condition gives, once it is true."""
    end = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found


def test_a_cluster_gives_what_this_machine_gives(disconnected, tmp_path):
    notes = Notes()
    found = trained(experiment_of(), tmp_path / "run", notes, "ray", disconnected.address)
    assert_same(found, here())
    assert "on 2 Ray workers" in notes.way
    assert sorted(notes.finished) == sorted(trial.key for trial in found.histories())
    # It has left the cluster, which runs on.
    assert not ray.is_initialized()
    ray.init(disconnected.address, log_to_driver=False, logging_level="ERROR")
    assert ray.cluster_resources()["CPU"] == 2


def test_a_cluster_is_found_as_ray_finds_it(disconnected, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", disconnected.address)
    experiment = experiment_of()
    workers = engine.RayEngine(experiment, wanted(experiment.settings, [], 0.0), None)
    assert ray.get_runtime_context().gcs_address == disconnected.address
    workers.close()
    assert not ray.is_initialized()


def test_a_ray_of_the_users_is_taken_and_left(connected, tmp_path):
    data, options = (X, Y), {"seeds": 2, "epochs": 1, "progress": False}
    result = leakyrelu.compare(
        small_net, data, activations=["relu", "elu"], engine="ray", output=tmp_path, **options
    )
    assert len(result.histories()) == 12
    assert ray.get_runtime_context().gcs_address == connected.address


def mishap(directory, deed):
    """Return a cross-entropy that does a deed in the first worker that finds the file ``now``."""

    def loss(output, target):
        try:
            (directory / "now").rename(directory / "done")
        except FileNotFoundError:
            pass
        else:
            deed()
        return F.cross_entropy(output, target)

    return loss


def kill_me():
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_is_replaced(connected, tmp_path):
    experiment = experiment_of(loss=mishap(tmp_path, kill_me))
    notes = Notes(then=(tmp_path / "now").touch)
    found = trained(experiment, tmp_path / "run", notes, "ray")
    assert (tmp_path / "done").exists()
    assert_same(found, here())


def test_a_worker_that_always_dies_is_given_up_and_the_rest_is_kept(
    connected, tmp_path, monkeypatch
):
    monkeypatch.setattr(engine, "RETRIES", 1)
    ill = tmp_path / "ill"

    def make():
        if ill.exists() and torch.initial_seed() == 3:
            time.sleep(0.5)  # for others to finish
            kill_me()
        return OneByOne()

    with pytest.raises(OSError, match=r"gave up .* after 1 retries .* same command resumes"):
        trained(experiment_of(make), tmp_path / "run", Notes(then=ill.touch), "ray")
    ill.unlink()
    notes = Notes()
    assert_same(trained(experiment_of(make), tmp_path / "run", notes, "ray"), here(OneByOne))
    assert 0 < notes.resumed_with < 12


class OneByOne(nn.Module):
    """Networks that can't be stacked, so that each is a batch."""

    def __init__(self):
        super().__init__()
        self.body = small_net()

    def forward(self, x):
        return self.body(x) * (1 + 0 * torch.rand(1)).item()


def test_a_node_may_go(connected, tmp_path):
    doomed = connected.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    head = connected.head_node.node_id

    def slow(output, target):
        # The head waits until the other node has work and is gone.
        if (tmp_path / "now").exists():
            node = ray.get_runtime_context().get_node_id()
            (tmp_path / node).touch()
            end = time.monotonic() + SECONDS
            while not (tmp_path / "gone").exists() and time.monotonic() < end:
                time.sleep(0.05)
        return F.cross_entropy(output, target)

    def remove():
        wait_for(lambda: (tmp_path / doomed.node_id).exists())
        connected.remove_node(doomed, allow_graceful=False)
        (tmp_path / "gone").touch()

    remover = threading.Thread(target=remove)
    (tmp_path / "run").mkdir()

    def then():
        (tmp_path / "now").touch()
        remover.start()

    found = trained(experiment_of(loss=slow), tmp_path / "run", Notes(then), "ray")
    remover.join()
    assert (tmp_path / "gone").exists()
    assert head != doomed.node_id
    assert_same(found, here())


class OddError(Exception):
    """Can be raised, but not be made from what it says."""

    def __init__(self, what, why):
        super().__init__(f"{what} is odd:\n  {why}")


def test_an_error_of_the_users_code_is_one_sentence(connected, tmp_path):
    broken = tmp_path / "broken"

    def make():
        if broken.exists() and torch.initial_seed() == 3:
            raise OddError("seed 3", "it is prime")
        return OneByOne()

    with pytest.raises(ValueError, match=r"on a Ray worker") as caught:
        trained(experiment_of(make), tmp_path / "run", Notes(then=broken.touch), "ray")
    assert str(caught.value) == (
        "on a Ray worker, OddError: seed 3 is odd: it is prime; "
        "finished trials are kept, and the same command resumes"
    )
    broken.unlink()
    notes = Notes()
    found = trained(experiment_of(make), tmp_path / "run", notes, "ray")
    assert_same(found, here(OneByOne))
    assert 0 < notes.resumed_with < 12


def test_code_that_is_on_this_machine_only_goes_along(connected, tmp_path, monkeypatch):
    code = tmp_path / "code"
    code.mkdir()
    (code / "my_shapes.py").write_text("UNITS = 8\n")
    (code / "my_layers.py").write_text(
        "import my_shapes\nfrom torch import nn\n\n\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        units = my_shapes.UNITS\n"
        "        super().__init__(nn.Linear(6, units), nn.ReLU(), nn.Linear(units, 2))\n"
    )
    (code / "my_models.py").write_text(
        "from my_layers import Net\n\n\ndef make_model():\n    return Net()\n"
    )
    monkeypatch.syspath_prepend(code)
    model = importlib.import_module("my_models").make_model
    experiment = experiment_of(model)
    shutil.rmtree(code)  # or workers on the same machine would find it
    assert_same(trained(experiment, tmp_path / "run", None, "ray"), here())
    assert not ray.cloudpickle.list_registry_pickle_by_value()


def test_what_cannot_be_sent_is_refused(connected, tmp_path):
    lock = threading.Lock()

    def make():
        assert lock
        return small_net()

    with pytest.raises(ValueError, match=r"can't be sent to the workers: TypeError: .{,40}lock"):
        trained(experiment_of(make), tmp_path, None, "ray")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nonsense", "auto:x"])
def test_a_wrong_address_is_refused_at_once(disconnected, address, monkeypatch):
    """Before Ray gets to try it for minutes."""
    real = ray.init
    monkeypatch.setattr(ray, "init", lambda a, **rest: real(a, **rest) if a == "nonsense" else 1)
    with pytest.raises(OSError, match=f"the Ray cluster at '{address}' can't be reached"):
        engine.RayEngine(experiment_of(), [("relu", 0.01, 0)], address)


def test_a_worker_of_another_version_is_refused():
    with pytest.raises(ValueError, match=r"0\.0 where the experiment was started; install"):
        engine._on_worker("0.0", print, None)


def test_without_ray_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "leakyrelu._compare.engines.ray")
    with pytest.raises(ImportError, match=r"pip install 'leakyrelu\[ray\]'"):
        leakyrelu.compare(small_net, (X, Y), engine="ray", output=tmp_path, progress=False)


SLOW = """
import time
import torch
from torch import nn

X = torch.randn(100, 6, generator=torch.Generator().manual_seed(0))
data = X, (X[:, 0] > X[:, 1]).long()


class OneByOne(nn.Module):
    def __init__(self):
        super().__init__()
        time.sleep(0.3)
        self.body = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x):
        return self.body(x) * (1 + 0 * torch.rand(1)).item()
"""


def test_one_is_started_and_ended():
    """In a process of its own, as Ray asks for a token in one that has started a cluster."""
    Path("slow.py").write_text(SLOW)
    code = """
import leakyrelu, ray, slow
options = dict(activations=["relu", "elu"], seeds=1, epochs=1, lr=0.01, progress=False)
result = leakyrelu.compare(slow.OneByOne, slow.data, engine="ray", address="local", **options)
print(len(result.histories()), "trials; Ray runs on:", ray.is_initialized())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "2 trials; Ray runs on: False\n", done.stderr


@pytest.fixture
def command_line():
    """Return what starts the command line, as a user would."""
    Path("slow.py").write_text(SLOW)
    options = "--activations relu,elu,gelu --seeds 4 --epochs 3 --lr 0.01 --batch-size 16"
    command = f"leakyrelu compare slow:OneByOne --data slow:data {options} --output run"
    drivers = []

    def start(address):
        words = [*command.split(), "--engine", "ray", "--address", address]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        # A background job of a shell ignores Ctrl-C, and so would what it starts.
        heed = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
        drivers.append(subprocess.Popen([sys.executable, "-m", *words], **streams, **heed))
        return drivers[-1]

    yield start
    for driver in drivers:
        if driver.poll() is None:
            driver.kill()
            driver.communicate()


def trials_stored():
    try:
        with sqlite3.connect("file:run/trials.sqlite?mode=ro", uri=True) as connection:
            return connection.execute("SELECT count(*) FROM trial").fetchone()[0]
    except sqlite3.OperationalError:  # it is not there yet
        return 0


def test_a_killed_driver_goes_on_where_it_was(disconnected, command_line):
    driver = command_line(disconnected.address)
    wait_for(lambda: trials_stored() or driver.poll() is not None)
    assert driver.poll() is None, driver.stderr.read()
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    stored = trials_stored()
    assert 0 < stored < 12
    again = command_line(disconnected.address)
    output, errors = again.communicate(timeout=SECONDS)
    assert again.returncode == 0, errors
    assert "own data: 100 examples" in output
    assert_same(Comparison.read("run"), here(OneByOne))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_who_asks_it_to_end_leaves_nothing_running(command_line, number, code):
    driver = command_line("local")
    wait_for(lambda: trials_stored() or driver.poll() is not None)
    assert driver.poll() is None, driver.stderr.read()
    ours = psutil.Process(driver.pid).children(recursive=True)
    assert any("raylet" in child.name() for child in ours)
    driver.send_signal(number)
    _, errors = driver.communicate(timeout=SECONDS)
    assert driver.returncode == code, errors
    assert "finished trials are kept, and the same command resumes" in errors
    assert "Traceback" not in errors
    wait_for(lambda: not any(child.is_running() for child in ours))
