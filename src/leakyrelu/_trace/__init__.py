"""How a model's activations are found, by three means that name them alike.

Each activation call is a *layer*: it is named by the path of the module that makes the call, a
second call of the same function there is ``#2`` (`names`). Which modules and functions are
activations is looked up in `leakyrelu.activations` (`known`).

- `calls` sees each call while the model runs: its input, along which axis the units lie, which
  layer feeds it. For what depends on data: `leakyrelu.health`, and the networks that
  `leakyrelu.compare` trains.
- `sites` reads the source (`source`) of the methods: which calls could get a module of their own,
  and which are out of reach. For `leakyrelu.replace`.
- `graph` has `torch.fx` trace the model without data; `flow` follows the units through it, from
  the layer that makes them (`weights`) to those that use them. For `leakyrelu.revive`, and where
  `leakyrelu.replace` changes initial weights.
"""
