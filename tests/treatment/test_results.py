"""What changes in place and what in a copy; what results can be asked for."""

import json

import pytest
import torch
from torch import nn

import leakyrelu
from leakyrelu import examine, replace, restore, revive, treat, watch

DATA = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))


def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.PReLU(), nn.Linear(8, 1))
    with torch.no_grad():
        model[0].bias[:3] = -100.0
    return model


def replaced(model, **options):
    return replace(model, "elu", **options)


def restored(model, **options):
    return restore(replace(model, "elu", inplace=True), **options)


def revived(model, **options):
    return revive(model, examine(model, DATA), **options).model


def treated(model, **options):
    return treat(model, DATA, **options).model


DEFAULTS = {
    replaced: False,
    restored: False,
    revived: True,
    treated: True,
    leakyrelu.nn.convert: True,
}


def looks(model):
    return repr(model), {name: tensor.tolist() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("inplace", [None, False, True])
@pytest.mark.parametrize("verb", DEFAULTS)
def test_inplace_means_the_same_everywhere(verb, inplace):
    model = network()
    if verb is restored:
        replace(model, "elu", inplace=True)
    before = looks(model)
    found = verb(model) if inplace is None else verb(model, inplace=inplace)
    if DEFAULTS[verb] if inplace is None else inplace:
        assert found is model
    else:
        assert found is not model
        assert looks(model) == before
        theirs = {tensor.data_ptr() for tensor in model.state_dict().values()}
        assert theirs.isdisjoint(tensor.data_ptr() for tensor in found.state_dict().values())


@pytest.mark.parametrize("verb", [revived, treated])
def test_an_optimizer_does_not_train_a_copy(verb):
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    with pytest.raises(ValueError, match="inplace=False changes a copy"):
        verb(model, optimizer=optimizer, inplace=False)


def a_watch(model):
    with watch(model, window=5) as health:
        for _ in range(5):
            model(DATA).sum().backward()
    return health


RESULTS = {
    "examine": lambda: examine(network(), DATA),
    "watch": lambda: a_watch(network()),
    "born_dead": lambda: leakyrelu.born_dead(3, 2, trials=50),
    "revive": lambda: revive(network(), examine(network(), DATA)),
    "treat": lambda: treat(network(), DATA),
}


@pytest.mark.parametrize("name", RESULTS)
def test_results_are_asked_alike(name, tmp_path):
    result = RESULTS[name]()
    table = result.table()
    assert table["layer"].tolist()[0] == "1"
    assert result.summary in str(result)
    result.to_html(tmp_path / "page.html")
    page = result.to_html()
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
    assert page.startswith("<!DOCTYPE html>")
    assert all(str(name) in page for name in table.columns)
    found = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert found["summary"] == result.summary


def test_the_numbers_in_json():
    assert RESULTS["examine"]().to_json()["layers"][0]["dead units"] == [0, 1, 2]
    watched = RESULTS["watch"]().to_json()
    assert [row["unit"] for row in watched["dead units"]] == [0, 1, 2]
    assert watched["deaths"][0]["cause"] == "born dead"
    assert RESULTS["revive"]().to_json()["revived"] == {"1": [0, 1, 2]}
    treatment = RESULTS["treat"]().to_json()
    assert treatment["before"]["layers"][0]["dead %"] == 37.5
    assert treatment["after"]["layers"][0]["dead %"] == 0
    found = leakyrelu.born_dead(3, 2, trials=50)
    assert found.to_json()["probability"] == found.probability
    assert found.table()["dead %"].tolist() == [100 * share for share in found.dead_units]
