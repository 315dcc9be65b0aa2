"""How a model's activations are found, and which layers make and use their units.

Each activation call is a *layer*: it is named by the path of the module that makes the call, a
second call of the same function there is ``#2`` (`names`). Which modules and functions are
activations is looked up in `leakyrelu.activations` (`known`).

One trace, of the model while it runs on data, serves health and treatment:

- `calls` sees each call: its input, where the units lie in it, which layers make them. Rectifiers
  that are `written` out are seen, too, and what is not seen is counted by its kind.
- `units` follows units from tensor to tensor, through whatever moves, normalizes, adds or joins
  them; `flow` tells from that which weights (`weights`) make and use the units of a call.

Without data:

- `sites` reads the source (`source`) of the methods: which calls could get a module of their own,
  and which are out of reach. For `leakyrelu.replace`.
- `graph` has `torch.fx` tell which layers feed an activation module. For initial weights, which
  `leakyrelu.replace` may change.
"""
