"""A hash tells apart what computes something else, and is the same in each process."""

import functools
import importlib
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from leakyrelu.compare.fingerprint import hash_of


class Focal:
    def __init__(self, gamma):
        self.gamma = gamma

    def __call__(self, outputs, targets):
        return self.gamma


class Scaled(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * F.relu(x)


def smooth(amount):
    def loss(outputs, targets):
        return F.cross_entropy(outputs, targets, label_smoothing=amount)

    return loss


def sgd(momentum):
    return lambda groups, lr: torch.optim.SGD(groups, lr=lr, momentum=momentum)


def with_default(amount):
    def loss(outputs, targets, amount=amount):
        return amount

    return loss


def decorated(amount):
    @functools.cache
    @torch.no_grad()
    def loss(outputs, targets):
        return amount

    return loss


@pytest.mark.parametrize(
    ("make", "one", "other"),
    [
        (lambda smoothing: nn.CrossEntropyLoss(label_smoothing=smoothing), 0.0, 0.9),
        (lambda weight: nn.CrossEntropyLoss(weight=torch.tensor(weight)), [1.0, 1.0], [1.0, 2.0]),
        (lambda p: nn.Sequential(nn.Dropout(p)), 0.1, 0.2),
        (Focal, 0, 5),
        (lambda gamma: Focal(gamma).__call__, 0, 5),
        (Scaled, 1, 30),
        (smooth, 0.0, 0.9),
        (sgd, 0.0, 0.9),
        (with_default, 0.0, 0.9),
        (decorated, 0.0, 0.9),
        (lambda momentum: functools.partial(torch.optim.SGD, momentum=momentum), 0.0, 0.9),
        (torch.optim.swa_utils.get_ema_multi_avg_fn, 0.9, 0.99),
        (lambda values: torch.tensor(values, dtype=torch.bfloat16), [1.0], [2.0]),
        (lambda dtype: torch.zeros(2, dtype=dtype), torch.float32, torch.int32),
        (np.array, [1, 2], [1, 3]),
        (lambda letters: set(letters), "abc", "abd"),
        (lambda a: {"a": [a, (a, {a})]}, 1, True),
    ],
)
def test_what_differs_is_told_apart(make, one, other):
    torch.manual_seed(0)
    first, again, second = (hash_of(make(value)) for value in (one, one, other))
    assert first == again != second


def test_frozen_weights_are_told_apart():
    layer = nn.Linear(1, 1)
    assert hash_of(layer) != hash_of(layer.requires_grad_(False))


def test_lambdas_of_one_line_are_told_apart():
    add, subtract = (lambda a, b: a + b), (lambda a, b: a - b)
    assert hash_of(add) != hash_of(subtract)


HELPER = """
FACTOR = 1.0

def scale(x):
    return FACTOR * x

def other(x):
    return x
"""

MAIN = """
import torch, own_helper
from own_torch_things import Part

UNUSED = 3

class Model(torch.nn.Module):
    bias = 0.5

    def __init__(self):
        super().__init__()
        self.act, self.letters, self.part = torch.nn.ReLU(), set("abcdef"), Part()
        self.letter = {"a", "b", "c", *"xyz"}
        self.act.register_forward_hook(lambda *_: None)
        self.lock, self.helper, self.unknown = __import__("threading").Lock(), Part, object()

    def forward(self, x):
        if str(x) in {"one", "two", "three", "four"}:
            return x
        return own_helper.scale(self.act(x)) + self.bias

def make():
    return Model()
"""

THINGS = """
class Base:
    def call(self, x):
        return x + 1

class Part(Base):
    pass
"""

FILES = {"own_main": MAIN, "own_helper": HELPER, "own_torch_things": THINGS}


@pytest.fixture
def hashed(tmp_path, monkeypatch):
    """Return a function that hashes a model of the files, with some text changed."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def run(file="own_main", before="", after=""):
        for name, text in FILES.items():
            new = text.replace(before, after) if name == file else text
            assert (new == text) == (name != file or before == after)
            (tmp_path / f"{name}.py").write_text(new)
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        module = importlib.import_module("own_main")
        return hash_of((module.make, module.make()))

    yield run
    for name in FILES:
        sys.modules.pop(name, None)


def test_each_process_finds_the_same(hashed, tmp_path):
    program = (
        "import own_main as m; from leakyrelu.compare.fingerprint import hash_of; "
        "print(hash_of((m.make, m.make())))"
    )
    was = hashed()
    for seed in "12":
        environment = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", program]
        found = subprocess.check_output(command, cwd=tmp_path, env=environment, text=True)
        assert found.strip() == was


def test_changes_of_code_are_seen_in_whatever_it_uses_and_no_others(hashed):
    was = hashed()
    assert hashed("own_main", "UNUSED = 3", "# A remark\n\nUNUSED = 4") == was
    assert hashed("own_helper", "return x\n", "return 2 * x\n") == was  # of other()
    for change in [
        ("own_main", "+ self.bias", "- self.bias"),
        ("own_main", "bias = 0.5", "bias = 0.6"),
        ("own_main", '"abcdef"', '"abcdeg"'),
        ("own_main", '"four"', '"five"'),
        ("own_helper", "FACTOR * x", "FACTOR * x * 0"),
        ("own_helper", "FACTOR = 1.0", "FACTOR = 2.0"),
        ("own_torch_things", "x + 1", "x + 2"),
    ]:
        assert hashed(*change) != was, change


def test_a_module_whose_name_begins_like_that_of_pytorch_is_the_users(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    hashes = []
    for number in (1, 2):
        (tmp_path / "torch_models.py").write_text(f"def make():\n    return {number} * 10\n")
        importlib.invalidate_caches()
        sys.modules.pop("torch_models", None)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        hashes.append(hash_of(importlib.import_module("torch_models").make))
    del sys.modules["torch_models"]
    assert len(set(hashes)) == 2


def test_code_without_a_file_is_looked_at():
    def made(text):
        variables = {"__name__": "__main__"}
        exec(text, variables)
        return variables["loss"]

    texts = ["loss = lambda o, t: o + t", "loss = lambda o, t: o + t", "loss = lambda o, t: o - t"]
    first, again, other = (hash_of(made(text)) for text in texts)
    assert first == again != other


def test_what_refers_to_itself_has_an_end():
    def loss(outputs, targets):
        return loss(outputs, targets) + len(ring)

    ring = [1]
    ring.append(ring)
    chain = None
    for _ in range(20_000):  # deeper than Python's calls may go
        chain = [chain]
    assert len({hash_of(loss), hash_of(ring), hash_of(chain)}) == 3


def test_no_address_and_no_chance_is_in_it():
    class Odd:
        def __init__(self):
            self.generator, self.other = torch.Generator(), np.random.default_rng()
            self.lines = (line for line in "ab")
            self.function, self.method = Odd, self.call

        def call(self):
            return time.time()

        def __reduce_ex__(self, protocol):
            return object.__reduce_ex__(self, protocol)

    assert hash_of(Odd()) == hash_of(Odd())

    class Refusing(Odd):
        def __reduce_ex__(self, protocol):
            raise TypeError("not me")

    assert hash_of(Refusing()) == hash_of(Refusing()) != hash_of(Odd())
