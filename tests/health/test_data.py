"""Data of all kinds are counted right, in bounded memory, and leave the model as it was."""

import copy
from collections import deque

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from leakyrelu import InputError, examine, treat
from leakyrelu.health import _examine

X = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))


def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    model[0].bias.data[0] = -100
    return model


class Pairs(Dataset):
    def __len__(self):
        return len(X)

    def __getitem__(self, index):
        return X[index], index % 2


class Images(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images):
        return [torch.relu(self.conv(image[None])) for image in images]


@pytest.mark.parametrize(
    "data",
    [
        X,
        TensorDataset(X),
        TensorDataset(X, torch.arange(300)),
        Pairs(),
        torch.utils.data.Subset(Pairs(), range(300)),
        DataLoader(Pairs(), batch_size=7),
        [{"input": X[:100]}, {"input": X[100:]}],
        [(X[:1], 0), (X[1:], 0)],
    ],
)
def test_examples_are_counted(data):
    found = examine(network(), data)
    assert found.examples == 300
    assert found.layers[0].counts.fired.tolist() == (network()[0](X) > 0).sum(0).tolist()
    assert treat(network(), data).after.examples == 300


@pytest.mark.parametrize("data", [X, TensorDataset(X), Pairs()])
@pytest.mark.parametrize(("most", "size"), [(1, 1), (16 * 7, 7), (16 * 100, 100), (2**25, None)])
def test_large_examples_come_in_small_batches(data, most, size, monkeypatch):
    monkeypatch.setattr(_examine, "MOST_INPUT", most)
    sizes = []
    model = network()
    model.register_forward_hook(lambda _, args, output: sizes.append(len(args[0])))
    found = examine(model, data)
    assert found.examples == 300
    assert max(sizes) == (size or min(300, 1024 if data is X else 256))


class Stream(IterableDataset):
    def __iter__(self):
        return iter(X)


class NoExamples(Dataset):
    def __len__(self):
        return 0

    def __getitem__(self, index):
        raise IndexError(index)


def test_streams_and_empty_datasets():
    assert examine(network(), Stream()).examples == 300
    with pytest.raises(InputError, match="data has no examples"):
        examine(network(), NoExamples())


def test_images_in_a_list_are_counted():
    images = [torch.randn(3, 5 + i, 6) for i in range(5)]
    found = examine(Images(), [(images, None), (images[:2], None)])
    assert found.examples == 7
    assert examine(Images(), [{"images": images}]).examples == 5


def test_graphs_are_counted():
    class Batch:
        num_graphs, x = 3, torch.randn(20, 4)

    class Nodes(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 2)

        def forward(self, graphs):
            return torch.relu(self.linear(graphs.x))

    assert examine(Nodes(), [Batch(), Batch()]).examples == 6


def test_single_examples_are_refused():
    with pytest.raises(InputError, match=r"of shape \(4,\), as one example is; give batches"):
        examine(network(), list(X))


class Caching(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 2)
        self.seen, self.named, self.recent = [], {}, deque(maxlen=2)
        self.register_buffer("mean", torch.zeros(6))
        self.calls = 0

    def forward(self, x):
        self.hidden = torch.relu(self.first(x))
        self.seen.append(self.hidden)
        self.named["hidden"] = self.hidden
        self.recent.append((self.hidden,))
        self.mean = self.hidden.mean(0)
        self.calls += 1
        return self.last(self.hidden)


def test_a_model_that_caches_can_be_copied_afterwards():
    model = Caching()
    before = model.first.weight
    examine(model, X)
    other = copy.deepcopy(model)
    assert model.first.weight is before
    assert torch.equal(other(X), model(X))
    assert treat(Caching(), X, inplace=False).after.examples == 300


def test_the_way_back_takes_bounded_memory(monkeypatch):
    sizes = []

    def loss(output, batch):
        sizes.append((len(output), len(batch[0]), len(batch[1])))
        return nn.functional.cross_entropy(output, batch[1])

    batch = (X, torch.zeros(300, dtype=torch.long))
    whole = examine(network(), [batch], loss=loss)
    monkeypatch.setattr(_examine, "MOST_BYTES", 4 * 6 * 4 * 10)  # of 10 examples
    few = examine(network(), [batch], loss=loss)
    assert sizes == [(300, 300, 300), (10, 10, 10)]
    assert few.examples == whole.examples == 300
    expected = examine(network(), [(X[:10], batch[1][:10])], loss=loss)
    assert few.layers[0].gradient == expected.layers[0].gradient
    monkeypatch.setattr(_examine, "MOST_BYTES", 1)
    assert examine(network(), X).layers[0].gradient > 0
