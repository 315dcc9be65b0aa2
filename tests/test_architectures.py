"""A handful of the architectures that `architectures.py` goes over; all: run that."""

import runpy
from pathlib import Path

import pytest

pytest.importorskip("transformers")
SCRIPT = runpy.run_path(str(Path(__file__).with_name("architectures.py")))

NAMES = ["transformer_encoder", "bert_relu", "opt", "t5", "mixtral_eager", "vit", "hf_resnet"]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_wrong(name):
    row = SCRIPT["check"](name)
    assert row.wrong == []
    seen, _, every = row.seen.partition(" of ")
    assert seen == every


def test_a_wrong_count_is_found(monkeypatch):
    import leakyrelu

    examine = leakyrelu.examine

    def wrong(model, data):
        found = examine(model, data)
        found.layers[1].never_fired[0] ^= True
        found.layers.pop(0)
        return found

    monkeypatch.setattr(leakyrelu, "examine", wrong)
    row = SCRIPT["check"]("transformer_encoder")
    assert len(row.wrong) >= 2
