"""A hash tells apart what computes something else, and is the same in each process."""

import collections
import dataclasses
import enum
import functools
import importlib
import math
import operator
import os
import pathlib
import re
import subprocess
import sys
import time
import types

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F  # noqa: N812

from leakyrelu._compare import fingerprint
from leakyrelu._compare.data.tensor_task import make_task
from leakyrelu._compare.fingerprint import hash_of


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
        "import own_main as m; from leakyrelu._compare.fingerprint import hash_of; "
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


# --- Data sets -----------------------------------------------------------------------------------

DATA = '''
import functools, random, re
import numpy as np, torch
from torch.utils.data import ConcatDataset, Dataset, Subset
import own_transforms
from own_transforms import Compose, Noise, Pattern, jitter

SHIFT = 0.25
TABLE = {"b": 2.0, "a": 1.0}
READS = 0
SEEN = {}

class Rows(Dataset):
    """Rows of noise."""

    low = 0.5
    reads = 0

    def __init__(self, rows, transform, target_transform=None):
        self.x = torch.arange(rows * 3.0).reshape(rows, 3)
        self.y = [row % 2 for row in range(rows)]
        self.transform, self.target_transform = transform, target_transform
        self.rng, self.generator = np.random.default_rng(), torch.Generator()
        self.count, self.cache, self.file = 0, {}, None
        self.tags = set("qwertyuiop")

    def __len__(self):
        return len(self.y)

    @functools.cached_property
    def scale(self):
        """How much."""
        return float(self.x.std())

    def __getitem__(self, row):
        global READS
        READS += 1
        SEEN[row] = READS
        type(self).reads += 1
        self.count += 1
        if self.file is None:
            self.file = open(__file__)
        self.cache[row] = self.rng.random() + torch.rand((), generator=self.generator)
        x = self.transform(self.x[row] * self.low / self.scale + SHIFT + self.cache[row] * 0)
        y = self.y[row]
        return x + 0.1 * torch.randn(3), y if self.target_transform is None else y

class Wrapped(Dataset):
    def __init__(self, inner):
        self.inner = inner

    def __len__(self):
        return len(self.inner)

    def __getitem__(self, row):
        import math as numbers, own_late, scipy.special
        from own_late import Late, much
        x, y = self.inner[row]
        return own_transforms.flip(x) * TABLE["a"] * Late(much)() * numbers.pi, y

def make(rows=40, noise=0.1, spread=2.0):
    """Make the data."""

    class Spread:
        """Spreads."""

        factor = 3.0

        def __call__(self, x):
            return x * spread * self.factor

    transform = Compose([
        Noise(noise), lambda x: x + 1, functools.partial(jitter, amount=0.3), Spread(),
        Pattern("a+"), torch.nn.Dropout(0.2), torch.jit.script(own_transforms.scripted),
    ])
    data = Rows(rows, transform, target_transform=lambda y: y + 0)
    return ConcatDataset([Subset(Wrapped(data), range(0, rows, 2)), Wrapped(data)])
'''

TRANSFORMS = """
import math, re, torch

class Compose:
    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, x):
        for transform in self.transforms:
            x = transform(x)
        return x

class Noise:
    __slots__ = ("amount",)

    def __init__(self, amount):
        self.amount = amount

    def __call__(self, x):
        return x + self.amount * torch.rand(3)

class Pattern:
    function = math.sin

    def __init__(self, text):
        self.pattern = re.compile(text)

    def __call__(self, x):
        return x if self.pattern.match("a") else x + self.function(0.0)

    def __getstate__(self):
        raise TypeError("not to be pickled")

def jitter(x, amount):
    # jitters
    return x + amount * torch.rand(3)

def flip(x):
    return x.flip(0)

def scripted(x):
    return x * 2.0

def unused(x):
    return x
"""

LATE = """
much = 2.0
other = 3.0

class Late:
    def __init__(self, much):
        self.much = much

    def __call__(self):
        return self.much + 1
"""

DATA_FILES = {"own_data": DATA, "own_transforms": TRANSFORMS, "own_late": LATE}
PROGRAM = """
import own_data
from leakyrelu._compare.data.tensor_task import make_task
print(make_task(own_data.make, None, None, None, None, is_table=False).fingerprint)
"""


@pytest.fixture
def data_of(tmp_path, monkeypatch):
    """Return a function that imports the data set of the files, with some text changed."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(file="own_data", before="", after=""):
        for name, text in DATA_FILES.items():
            new = text.replace(before, after) if name == file else text
            assert (new == text) == (name != file or before == after), before
            (tmp_path / f"{name}.py").write_text(new)
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module("own_data")

    yield write
    for name in DATA_FILES:
        sys.modules.pop(name, None)


def identity(data):
    return make_task(data, None, None, None, None, is_table=False).fingerprint


CHANGES_OF_DATA = [
    ("own_data", "SHIFT = 0.25", "SHIFT = 0.5"),
    ("own_data", '"a": 1.0', '"a": 1.5'),
    ("own_data", "low = 0.5", "low = 0.6"),
    ("own_data", "rows * 3.0)", "rows * 3.0).neg()"),
    ("own_data", "0.1 * torch.randn", "0.2 * torch.randn"),
    ("own_data", "torch.randn(3)", "torch.rand(3)"),
    ("own_data", "lambda x: x + 1", "lambda x: x - 1"),
    ("own_data", "lambda y: y + 0", "lambda y: y + 1"),
    ("own_data", "amount=0.3", "amount=0.4"),
    ("own_data", "noise=0.1", "noise=0.2"),
    ("own_data", "spread=2.0", "spread=2.5"),
    ("own_data", "factor = 3.0", "factor = 3.5"),
    ("own_data", 'Pattern("a+")', 'Pattern("b*")'),
    ("own_data", "Dropout(0.2)", "Dropout(0.3)"),
    ("own_data", "Noise(noise), lambda x: x + 1", "lambda x: x + 1, Noise(noise)"),
    ("own_data", "range(0, rows, 2)", "range(1, rows, 2)"),
    ("own_data", '"qwertyuiop"', '"qwertyuiox"'),
    ("own_data", "self.x.std()", "self.x.var()"),
    ("own_transforms", "self.amount * torch.rand", "self.amount * torch.randn"),
    ("own_transforms", "for transform in self.transforms", "for transform in self.transforms[1:]"),
    ("own_transforms", "amount * torch.rand(3)", "amount * torch.rand(3) ** 2"),
    ("own_transforms", "x.flip(0)", "x.roll(1)"),
    ("own_transforms", "x * 2.0", "x * 2.5"),
    ("own_transforms", "math.sin", "math.cos"),
    ("own_late", "self.much + 1", "self.much + 2"),
    ("own_late", "much = 2.0", "much = 2.5"),
]


@pytest.mark.parametrize("change", CHANGES_OF_DATA, ids=lambda change: f"{change[1:]}"[:50])
def test_a_change_of_a_data_set_whose_items_are_random_is_another(data_of, change):
    assert identity(data_of().make) != identity(data_of(*change).make)


REMARKS = [
    ("own_data", "SHIFT = 0.25", "# A remark\n\nSHIFT = 0.25"),
    ("own_data", '"""Rows of noise."""', '"""Rows of a lot of noise."""'),
    ("own_data", '"""How much."""', ""),
    ("own_data", '"""Make the data."""', '"""Data."""'),
    ("own_data", '"""Spreads."""', "# none\n"),
    ("own_data", '"b": 2.0, "a": 1.0', '"a": 1.0, "b": 2.0'),
    ("own_data", "READS = 0", "READS = 7"),
    ("own_data", "def make(rows=40", "def more():\n    pass\n\ndef make(rows=40"),
    ("own_transforms", "# jitters", ""),
    ("own_late", "other = 3.0", "other = 4.0"),
    ("own_transforms", "def scripted(x):", "# a remark\n\ndef scripted(x):"),
    ("own_transforms", "def unused(x):\n    return x", "def unused(x):\n    return -x"),
]


@pytest.mark.parametrize("change", REMARKS, ids=lambda change: f"{change[1:]}"[:50])
def test_remarks_order_and_counters_are_no_other_data_set(data_of, change):
    assert identity(data_of().make) == identity(data_of(*change).make)


def test_a_data_set_that_was_read_is_the_same(data_of):
    data = data_of().make()
    was = identity(data)
    for row in range(len(data)):
        data[row]
    assert identity(data) == was == identity(data_of().make())


def test_each_process_finds_the_same_data_set(data_of, tmp_path):
    data = data_of()
    was = identity(data.make)
    assert identity(data.make) == was
    for seed in "12":
        environment = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", PROGRAM]
        found = subprocess.check_output(command, cwd=tmp_path, env=environment, text=True)
        assert found.strip() == was


def test_equal_arrays_are_equal_data_whatever_made_them():
    def one():
        return np.eye(40, 3), np.arange(40) % 2

    def other():
        return np.eye(40)[:, :3], np.arange(40) % 2

    assert identity(one) == identity(other)


class Small(torch.utils.data.Dataset):
    def __init__(self, extra):
        self.extra = extra

    def __len__(self):
        return 40

    def __getitem__(self, row):
        return torch.rand(2), row % 2


def frame(value, kind):
    table = pd.DataFrame({"a": [1, value, 3], "b": list("xyz")}, index=[4, 5, 6])
    return table.astype({"b": kind})


@pytest.mark.parametrize(
    ("make", "one", "other"),
    [
        (lambda v: torch.eye(3).to_sparse() * v, 1, 2),
        (lambda v: torch.view_as_complex(torch.ones(3, 2)).conj() * v, 1, 2),
        (lambda v: torch.quantize_per_tensor(torch.ones(3) * v, 0.1, 0, torch.qint8), 1, 2),
        (lambda v: np.ma.masked_array([1, 2, 3], mask=[v, 0, 0]), 0, 1),
        (lambda v: np.array([{"a": v}, None], dtype=object), 1, 2),
        (lambda v: np.array([(v, 2.0)], dtype=[("a", int), ("b", float)]), 1, 2),
        (lambda v: np.array(["2020-01-01", v], dtype="datetime64[D]"), "2021-01-01", "2022-01-01"),
        (lambda v: frame(v, object), 1, 2),
        (lambda v: frame(v, "category"), 1, 2),
        (lambda v: pd.Series(["a", v], dtype="string"), "b", "c"),
        (lambda v: Image.fromarray(np.full((3, 3), v, np.uint8)), 1, 2),
        (re.compile, "a", "b"),
        (lambda v: {"a": {"b": [v]}}, 1, 2),
        (lambda v: collections.OrderedDict(a=v), 1, 2),
        (lambda v: collections.deque([v]), 1, 2),
        (lambda v: types.SimpleNamespace(v=v), 1, 2),
        (lambda v: dataclasses.make_dataclass("Options", ["v"])(v), 1, 2),
        (lambda v: functools.partial(torch.add, other=v), 1, 2),
        (lambda v: {1: math.sin, 2: math.cos}[v], 1, 2),
        (lambda v: {1: torch.sin, 2: torch.cos}[v], 1, 2),
        (lambda v: {1: np.sin, 2: np.cos}[v], 1, 2),
        (lambda v: operator.itemgetter(v), 1, 2),
        (lambda v: torch.jit.script(nn.Linear(v, 1)), 1, 2),
        (lambda v: collections.defaultdict(list, {v: 1}), 1, 2),
        (lambda v: torch.jit.script(nn.Sequential(nn.ReLU(), nn.Softmax(v))), 0, 1),
        (lambda v: nn.Sequential(nn.Linear(2, 2), nn.Dropout(v)), 0.1, 0.2),
        (lambda v: torch.utils.data.TensorDataset(torch.full((3,), v)), 1.0, 2.0),
        (lambda v: torch.utils.data.Subset(range(9), [v]), 1, 2),
        (lambda v: lambda: lambda x: x + v, 1, 2),
        (lambda v: enum.Enum("Kind", "a b")(v), 1, 2),
        (pathlib.Path, "a", "b"),
    ],
)
def test_whatever_a_data_set_holds_is_told_apart(make, one, other):
    hashes = []
    for value in (one, one, other):
        torch.manual_seed(0)
        hashes.append(identity(Small(make(value))))
    assert hashes[0] == hashes[1] != hashes[2]


def test_an_array_that_is_too_large_to_hash_is_hashed_in_parts(monkeypatch):
    monkeypatch.setattr(fingerprint, "LARGE", 1000)
    monkeypatch.setattr(fingerprint, "STRETCH", 100)
    array = np.zeros(100_000, np.uint8)
    was = hash_of(array)
    array[-1] = 1
    assert hash_of(array) != was


def test_the_version_of_an_installed_package_counts(tmp_path, monkeypatch):
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    hashes = []
    for version, body in (("1.0", "x"), ("1.0", "x  # remark"), ("1.1", "x"), ("1.1", "-x")):
        text = f"__version__ = {version!r}\n\ndef blur(x):\n    return {body}\n"
        (site / "own_installed.py").write_text(text)
        importlib.invalidate_caches()
        sys.modules.pop("own_installed", None)
        fingerprint._version.cache_clear()
        hashes.append(hash_of(importlib.import_module("own_installed").blur))
    sys.modules.pop("own_installed")
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
