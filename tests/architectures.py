"""Health and treatment on public architectures, held against what autograd's graph tells.

    pip install -c constraints.txt ".[architectures]"
    python tests/architectures.py            # all
    python tests/architectures.py resnet18 bert
    python tests/architectures.py --list

Each model has random weights and some units that are made dead. The reference is written without
leakyrelu: activations, the parameters that make their units, the axis of the units and which of
them fired are read from the graph that autograd keeps of a forward. A line for each model tells:

- seen: activations that `examine` has of all in the graph; what is missing must be named by it
- units: layers with as many units as the parameters that make them have
- counts: layers in which the units that never fired are those of the reference
- planted: of the units made dead, how many `examine` has
- outputs: how `treat` changed the outputs of the model
- revived: of the units that are dead, how many fire after `treat`, and what was refused, and why

It ends with 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import re
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# --- The reference: what autograd's graph tells ---------------------------------------------

KINDS = {
    "Celu": "celu",
    "Clamp": "clamp",
    "ClampMin": "clamp",
    "Elu": "elu",
    "Gelu": "gelu",
    "Hardswish": "hardswish",
    "Hardtanh": "hardtanh",
    "LeakyRelu": "leaky_relu",
    "Mish": "mish",
    "PreluKernel": "prelu",
    "Relu": "relu",
    "RreluWithNoise": "rrelu",
    "Silu": "silu",
    "Softplus": "softplus",
    "Threshold": "threshold",
}


@dataclass
class Activation:
    """An activation in the graph of a forward."""

    kind: str
    fired: Tensor  # bool, of the shape of its input
    makers: list[nn.Parameter]  # that may make its units, the nearest first
    edge: torch.autograd.graph.GradientEdge  # to its input
    node: torch.autograd.graph.Node
    maker: nn.Parameter | None = None
    axis: int | None = None
    units: int = 0
    of: str = ""  # name of the maker

    def never_fired(self) -> Tensor:
        axis = self.axis or 0
        return ~self.fired.transpose(0, axis).flatten(1).any(1)

    def passes_none(self) -> Tensor:
        """Return which units get no gradient at all, by the derivative of the activation."""
        derivative = self.node(torch.ones(self.fired.shape))
        derivative = derivative[0] if isinstance(derivative, tuple) else derivative
        return ~(derivative.abs() > 1e-8).transpose(0, self.axis or 0).flatten(1).any(1)


def nodes_of(outputs: list[Tensor]) -> list[torch.autograd.graph.Node]:
    """Return the nodes of the graph, in the order in which they were made."""
    found = {}
    rest = [x.grad_fn for x in outputs if x.grad_fn is not None]
    while rest:
        node = rest.pop()
        if node not in found and node.name() != "torch::autograd::AccumulateGrad":
            found[node] = node._sequence_nr()
            rest += [before for before, _ in node.next_functions if before is not None]
    return sorted(found, key=found.get)


def activation_of(node: torch.autograd.graph.Node) -> tuple[str, Tensor] | None:
    """Return the kind of activation that made a node, and its input, or what has its signs."""
    name = node.name().rstrip("0123456789").removesuffix("Backward")
    kind = KINDS.get(name)
    if name == "Tanh":  # the GELU written out has the cube of its input
        powers = [n for n in below(node, 4) if n.name() == "PowBackward0"]
        cubes = [n for n in powers if n._saved_exponent == 3]
        return ("gelu_new", cubes[0]._saved_self) if cubes else None
    if kind is None or (kind == "clamp" and getattr(node, "_saved_min", None) != 0):
        return None
    if kind == "hardtanh" and node._saved_min_val != 0:
        return None
    if kind == "hardtanh" and node._saved_max_val == 6:
        kind = "relu6"
    names = ("_saved_self", "_saved_result")
    return kind, next(getattr(node, name) for name in names if hasattr(node, name)).detach()


def below(node: torch.autograd.graph.Node, depth: int) -> Iterator[torch.autograd.graph.Node]:
    """Yield the nodes that a node comes from, the nearest first."""
    level, seen = [node], set()
    for _ in range(depth):
        level = [before for n in level for before, _ in n.next_functions if before is not None]
        level = [n for n in dict.fromkeys(level) if n not in seen]
        seen |= set(level)
        yield from level


def activations_of(model: nn.Module, args: dict | tuple, known: dict) -> list[Activation]:
    """Run the model, and find its activations; what is `known` of their units is kept there."""
    names = {id(p): name for name, p in model.named_parameters()}
    nodes = nodes_of([x for x in tree_leaves(run(model, args)) if isinstance(x, Tensor)])
    found = []
    for node in nodes:
        kind_and_input = activation_of(node)
        if kind_and_input is None or kind_and_input[1].ndim < 2:
            continue
        source, index = node.next_functions[0]
        if source is None:
            continue
        if kind_and_input[0] == "gelu_new":
            cube = next(n for n in below(node, 4) if n.name() == "PowBackward0")
            source, index = cube.next_functions[0]
        makers = [
            n.variable
            for n in (source, *below(source, 12))
            if n.name() == "torch::autograd::AccumulateGrad" and n.variable.numel() > 1
        ][:6]
        # Of one layer the bias comes first: it is the simplest to look at.
        makers.sort(key=lambda p: not names.get(id(p), "").endswith("bias"))
        edge = torch.autograd.graph.GradientEdge(source, index)
        one = Activation(kind_and_input[0], kind_and_input[1] > 0, makers, edge, node)
        if (key := (one.kind, one.fired.shape[1:], *map(id, makers))) not in known:
            find_units(one)
            known[key] = one.maker, one.axis, one.units
        one.maker, one.axis, one.units = known[key]
        one.of = names.get(id(one.maker), "")
        if "experts" in one.of and one.maker.ndim == 3:
            find_experts(one)
        found.append(one)
    return found


class Counted(TorchDispatchMode):
    """Counts the activations that run, also those that the output does not depend on."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: Counter = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.partition("::")[2].strip("_")
        self.kinds["relu6" if name == "hardtanh" and args[1:3] == (0, 6) else name] += 1
        return func(*args, **(kwargs or {}))


def find_units(one: Activation) -> None:
    """Find the axis along which each unit depends on its own entries of a parameter."""
    shape = one.fired.shape
    for maker in one.makers:
        for axis in range(1, len(shape)):
            if (units := units_on(one.edge, shape, axis, maker)) is not None:
                one.maker, one.axis, one.units = maker, axis, units
                return


def find_experts(one: Activation) -> None:
    """Tell which of the experts whose weights lie side by side make the units."""
    ones = torch.ones(one.fired.shape, dtype=one.maker.dtype)
    (gradient,) = torch.autograd.grad(one.edge, one.maker, ones, retain_graph=True)
    experts = gradient.flatten(1).any(1).nonzero().flatten().tolist()
    if len(experts) == 1:
        one.of += f"[{experts[0]}]"
    else:
        one.units *= len(experts)


def units_on(
    edge: torch.autograd.graph.GradientEdge, shape: torch.Size, axis: int, maker: nn.Parameter
) -> int | None:
    """Return how many units the parameter makes that lie on the axis, or None if none do.

    The gradients of sums over random halves of the indices of the axis tell which entries of the
    parameter each index depends on: those of a unit depend on one index.
    """
    size = shape[axis]
    if size < 2 or not any(size <= rows for rows in maker.shape):
        return None
    generator = torch.Generator().manual_seed(0)
    halves = torch.rand(4, size, generator=generator) < 0.5
    view = [1] * len(shape)
    view[axis] = size
    code = torch.zeros(maker.shape, dtype=torch.int64)
    both = torch.zeros(maker.shape, dtype=torch.bool)
    for bit, half in enumerate(halves):
        in_half, in_other = (
            torch.autograd.grad(
                edge,
                maker,
                part.to(maker.dtype).view(view).expand(shape).contiguous(),
                retain_graph=True,
                allow_unused=True,
            )[0]
            for part in (half, ~half)
        )
        if in_half is None or in_other is None:
            return None
        code += (in_half != 0).long() << bit
        both |= (in_half != 0) & (in_other != 0)
        used = (in_half != 0) | (in_other != 0)
    wanted = sorted((halves.long() << torch.arange(4)[:, None]).sum(0).tolist())
    if both.any() or not used.any():
        return None
    for rows in range(maker.ndim):
        by_row, is_used = (
            x.transpose(0, rows).reshape(len(x.transpose(0, rows)), -1) for x in (code, used)
        )
        own = is_used.any(1)
        if sorted(by_row.amax(1)[own].tolist()) == wanted:
            return int(own.sum())
    return None


# --- Models ----------------------------------------------------------------------------------


def run(model: nn.Module, args: dict | Tensor) -> object:
    torch.manual_seed(0)  # policies draw actions
    return model(**args) if isinstance(args, dict) else model(args)


def images(size: int, channels: int = 3) -> Callable[[], list[Tensor]]:
    return lambda: [torch.randn(2, channels, size, size) for _ in range(2)]


def tokens(**more: object) -> Callable[[], list[dict]]:
    return lambda: [{"input_ids": torch.randint(5, 60, (2, 7)), **more} for _ in range(2)]


def torchvision() -> object:
    """Return the package, also if it is built for another device than PyTorch."""
    try:
        import torchvision
    except RuntimeError:  # its operators, which are of no use here, can't be loaded
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float threshold) -> Tensor")
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        import torchvision

        torchvision.library = library  # it must not be collected
    return torchvision


def vision(name: str, size: int = 64, **options: object) -> tuple[Callable, Callable]:
    def make() -> nn.Module:
        package = torchvision()
        for models in (package.models, package.models.segmentation, package.models.video):
            if hasattr(models, name):
                return getattr(models, name)(weights=None, **options)
        raise AttributeError(name)

    return make, images(size)


def timm(name: str, size: int = 64, **options: object) -> tuple[Callable, Callable]:
    def make() -> nn.Module:
        torchvision()
        import timm

        return timm.create_model(name, num_classes=10, **options)

    return make, images(size)


def transformer(
    name: str, data: Callable[[], list], **options: object
) -> tuple[Callable, Callable]:
    def make() -> nn.Module:
        with contextlib.suppress(ModuleNotFoundError):
            torchvision()  # transformers imports it where it is installed
        import transformers

        cls = getattr(transformers, name)
        experts = options.pop("experts_implementation", None)
        config = cls.config_class(**options)
        if experts is not None:
            config._experts_implementation = experts
        return cls(config)

    return make, data


def segmentation(name: str, encoder: str, **options: object) -> tuple[Callable, Callable]:
    def make() -> nn.Module:
        torchvision()
        import segmentation_models_pytorch

        cls = getattr(segmentation_models_pytorch, name)
        return cls(encoder_name=encoder, encoder_weights=None, **options)

    return make, images(64)


def graph(name: str, **options: object) -> tuple[Callable, Callable]:
    def make() -> nn.Module:
        import torch_geometric.nn

        return getattr(torch_geometric.nn, name)(8, 16, num_layers=3, out_channels=4, **options)

    def data() -> list[dict]:
        return [{"x": torch.randn(20, 8), "edge_index": torch.randint(20, (2, 60))} for _ in "12"]

    return make, data


def policy(name: str, pixels: bool) -> tuple[Callable, Callable]:
    def make() -> nn.Module:
        import gymnasium
        import stable_baselines3.common.policies as policies
        import stable_baselines3.dqn.policies as dqn

        box = gymnasium.spaces.Box
        space = box(0, 255, (4, 36, 36), "uint8") if pixels else box(-1, 1, (8,))
        cls = getattr(policies, name, None) or getattr(dqn, name)
        made = cls(space, gymnasium.spaces.Discrete(5), lambda _: 0.01, activation_fn=nn.ReLU)
        return getattr(made, "q_net", made)

    def data() -> list[Tensor]:
        if pixels:
            return [torch.randint(0, 255, (4, 4, 36, 36), dtype=torch.uint8) for _ in range(2)]
        return [torch.randn(16, 8) for _ in range(2)]

    return make, data


TEXT = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
SMALL = {**TEXT, "intermediate_size": 48, "max_position_embeddings": 32}
GATED = {**SMALL, "num_key_value_heads": 2}
D_MODEL = {
    **{"vocab_size": 64, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2},
    **{"encoder_attention_heads": 4, "decoder_attention_heads": 4},
    **{"encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 32},
}
IMAGE = {
    **{"image_size": 32, "patch_size": 8, "hidden_size": 32, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "intermediate_size": 48},
}


def pairs() -> list[dict]:
    return [
        {name: torch.randint(5, 60, (2, 7)) for name in ("input_ids", "decoder_input_ids")}
        for _ in range(2)
    ]


def pixels(size: int = 32) -> Callable[[], list[dict]]:
    return lambda: [{"pixel_values": torch.randn(2, 3, size, size)} for _ in range(2)]


def waves() -> list[dict]:
    return [{"input_values": torch.randn(2, 800)} for _ in range(2)]


ARCHITECTURES = {
    # torch
    "transformer_encoder": (
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), 2, enable_nested_tensor=False
        ),
        lambda: [torch.randn(2, 5, 16) for _ in range(2)],
    ),
    # torchvision
    **{
        name: vision(name, size)
        for name, size in [
            *(("alexnet", 64), ("vgg11_bn", 32), ("resnet18", 64), ("resnext50_32x4d", 32)),
            *(("densenet121", 32), ("squeezenet1_1", 64), ("mobilenet_v2", 64)),
            *(("mobilenet_v3_small", 64), ("efficientnet_b0", 64), ("shufflenet_v2_x0_5", 64)),
            *(("mnasnet0_5", 64), ("regnet_y_400mf", 64), ("convnext_tiny", 64), ("swin_t", 64)),
        ]
    },
    "googlenet": vision("googlenet", init_weights=False),
    "vit_b_16": (
        lambda: torchvision().models.VisionTransformer(32, 8, 2, 4, 32, 48, num_classes=10),
        images(32),
    ),
    "lraspp_mobilenet_v3_large": vision("lraspp_mobilenet_v3_large", weights_backbone=None),
    "deeplabv3_mobilenet_v3_large": vision("deeplabv3_mobilenet_v3_large", weights_backbone=None),
    "r3d_18": (
        lambda: torchvision().models.video.r3d_18(),
        lambda: [torch.randn(2, 3, 4, 32, 32) for _ in range(2)],
    ),
    # timm
    **{
        f"timm/{name}": timm(name, size)
        for name, size in [
            *(("resnet10t", 64), ("resnetv2_50d_gn", 32), ("tf_efficientnet_lite0", 64)),
            *(("ghostnet_050", 64), ("dla34", 64), ("hrnet_w18_small", 64), ("skresnet18", 64)),
            *(("res2net50_14w_8s", 32), ("cspresnet50", 32), ("selecsls42b", 64)),
            *(("resnest14d", 64), ("eca_resnet33ts", 64), ("rexnet_100", 64), ("xception41", 64)),
            *(("pvt_v2_b0", 64), ("mobilevit_xxs", 64), ("edgenext_xx_small", 64)),
            *(("repvgg_a0", 64), ("poolformer_s12", 64), ("dpn68", 32)),
        ]
    },
    "timm/mixer_s32_224": timm("mixer_s32_224", img_size=64),
    "timm/vit_tiny_patch16_224": timm("vit_tiny_patch16_224", size=32, img_size=32, depth=2),
    # transformers
    "bert": transformer("BertModel", tokens(), **SMALL),
    "bert_relu": transformer("BertModel", tokens(), **SMALL, hidden_act="relu"),
    "distilbert": transformer(
        *("DistilBertModel", tokens()),
        **{"vocab_size": 64, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
    ),
    "albert": transformer("AlbertModel", tokens(), **SMALL, embedding_size=16, hidden_act="relu"),
    "opt": transformer(
        *("OPTModel", tokens()),
        **{**TEXT, "ffn_dim": 48, "max_position_embeddings": 32, "word_embed_proj_dim": 32},
    ),
    "gpt2": transformer(
        "GPT2Model", tokens(), vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=32
    ),
    "llama": transformer("LlamaModel", tokens(), **GATED),
    "t5": transformer(
        *("T5Model", pairs),
        **{"vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2},
        num_heads=4,
    ),
    "bart": transformer("BartModel", pairs, **D_MODEL, activation_function="relu"),
    "m2m_100": transformer("M2M100Model", pairs, **D_MODEL),
    "mixtral": transformer(
        "MixtralModel", tokens(), **GATED, num_local_experts=4, num_experts_per_tok=2
    ),
    "mixtral_eager": transformer(  # each expert calls the one activation, if it has tokens
        *("MixtralModel", tokens()),
        **GATED,
        **{"num_local_experts": 4, "num_experts_per_tok": 2, "hidden_act": "relu"},
        experts_implementation="eager",
    ),
    "qwen2_moe": transformer(
        *("Qwen2MoeModel", tokens()),
        **GATED,
        **{"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 24},
        shared_expert_intermediate_size=24,
    ),
    "switch_transformers": transformer(
        *("SwitchTransformersModel", pairs),
        **{"vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2},
        **{"num_heads": 4, "num_experts": 4, "num_sparse_encoder_layers": 1},
    ),
    "wav2vec2": transformer(
        *("Wav2Vec2Model", waves),
        **{**TEXT, "intermediate_size": 48, "conv_dim": (16, 16, 16), "conv_stride": (5, 2, 2)},
        **{"conv_kernel": (10, 3, 3), "num_feat_extract_layers": 3, "hidden_act": "relu"},
        **{"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4},
        feat_extract_activation="relu",
    ),
    "segformer": transformer(
        *("SegformerForSemanticSegmentation", pixels(64)),
        **{"hidden_sizes": (8, 16, 24, 32), "depths": (1, 1, 1, 1), "hidden_act": "relu"},
        decoder_hidden_size=32,
    ),
    "vit": transformer("ViTModel", pixels(), **IMAGE),
    "clip_vision": transformer("CLIPVisionModel", pixels(), **IMAGE, hidden_act="gelu"),
    "hf_resnet": transformer(
        *("ResNetModel", pixels(64)),
        **{"embedding_size": 8, "hidden_sizes": (8, 16), "depths": (1, 2)},
        layer_type="basic",
    ),
    "hf_convnext": transformer(
        "ConvNextModel", pixels(64), hidden_sizes=(8, 16), depths=(1, 2), num_stages=2
    ),
    # segmentation_models_pytorch
    "smp/Unet": segmentation("Unet", "resnet18"),
    "smp/UnetPlusPlus": segmentation("UnetPlusPlus", "resnet18"),
    "smp/FPN": segmentation("FPN", "resnet18"),
    "smp/Linknet": segmentation("Linknet", "resnet18"),
    "smp/PSPNet": segmentation("PSPNet", "mobilenet_v2"),
    "smp/DeepLabV3Plus": segmentation("DeepLabV3Plus", "resnet18"),
    # torch_geometric
    "pyg/GCN": graph("GCN"),
    "pyg/GraphSAGE": graph("GraphSAGE", norm="batch_norm"),
    "pyg/GIN": graph("GIN"),
    "pyg/GAT": graph("GAT", heads=2),
    # stable-baselines3
    "sb3/ActorCriticPolicy": policy("ActorCriticPolicy", pixels=False),
    "sb3/ActorCriticCnnPolicy": policy("ActorCriticCnnPolicy", pixels=True),
    "sb3/DQNPolicy": policy("DQNPolicy", pixels=False),
}

# --- The check -------------------------------------------------------------------------------


@dataclass
class Reference:
    """The activations of a model on all batches, in the order of their calls."""

    layers: dict[tuple, tuple[str, int, Tensor]] = field(default_factory=dict)
    blocked: dict[tuple, Tensor] = field(default_factory=dict)  # get no gradient
    makers: dict[tuple, nn.Parameter] = field(default_factory=dict)

    @classmethod
    def of(cls, model: nn.Module, data: list, known: dict) -> Reference:
        found = cls()
        for args in data:
            calls: Counter = Counter()
            for one in activations_of(model, args, known):
                key = one.of or one.kind
                calls[key] += 1
                never = one.never_fired()
                before = found.layers.get((key, calls[key]))
                if before is not None and before[2].shape == never.shape:
                    never = never & before[2]
                found.layers[key, calls[key]] = (one.kind, one.units, never)
                if one.kind != "gelu_new":  # of several operations
                    none = one.passes_none()
                    before = found.blocked.get((key, calls[key]), none)
                    found.blocked[key, calls[key]] = none & before
                if one.maker is not None:
                    found.makers[key, calls[key]] = one.maker
        return found

    def silent(self, *, dead: bool = False) -> dict[tuple, set[int]]:
        """Return the units that never fired, or of these only those that get no gradient."""
        return {
            key: set(
                (never & self.blocked.get(key, ~never) if dead else never)
                .nonzero()
                .flatten()
                .tolist()
            )
            for key, (_, units, never) in self.layers.items()
            if units
        }


PLANTABLE = ("relu", "relu6", "hardtanh", "gelu", "gelu_new", "silu", "hardswish", "clamp")
PLANTABLE += ("leaky_relu",)  # such units never fire, and learn


@torch.no_grad()
def plant(model: nn.Module, data: list, known: dict) -> dict[tuple, set[int]]:
    """Make a few units dead; return those that the reference finds to have died."""
    with torch.enable_grad():
        before = Reference.of(model, data, known)
    names = {id(p): name for name, p in model.named_parameters()}
    able = [
        key
        for key, (kind, units, _) in before.layers.items()
        if kind in PLANTABLE and units >= 4 and key in before.makers
    ]
    chosen = {able[round(i * (len(able) - 1) / 2)] for i in range(3)} if able else set()
    for key in chosen:
        maker, units = before.makers[key], before.layers[key][1]
        rows = maker.shape.index(max(maker.shape)) if maker.ndim > 1 else 0
        rows = next((axis for axis, size in enumerate(maker.shape) if size == units), rows)
        is_bias = names[id(maker)].endswith("bias")
        for unit in (1, units // 2, units - 1):
            maker.select(rows, unit % maker.shape[rows]).fill_(-1000.0 if is_bias else 0.0)
    with torch.enable_grad():
        after = Reference.of(model, data, known)
    was, now = before.silent(), after.silent()
    return {key: now[key] - was.get(key, set()) for key in now if now[key] - was.get(key, set())}


@dataclass
class Row:
    """What was found of one architecture."""

    name: str
    seen: str = ""
    units: str = ""
    counts: str = ""
    planted: str = ""
    outputs: str = ""
    revived: str = ""
    refused: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def check(name: str) -> Row:
    """Hold `examine` and `treat` against the reference, on one architecture."""
    from leakyrelu import examine
    from leakyrelu.treatment import treat

    row = Row(name)
    torch.manual_seed(0)
    make, make_data = ARCHITECTURES[name]
    model, data = make().eval(), make_data()
    for parameter in model.parameters():  # some start at 0, and let nothing through
        if parameter.ndim > 1 and not parameter.any():
            parameter.data.normal_(std=0.1)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(std=0.3)
    known_units: dict = {}
    planted = plant(model, data, known_units)
    reference = Reference.of(model, data, known_units)
    state = {key: value.clone() for key, value in model.state_dict().items()}

    found = examine(model, data)
    if any(not torch.equal(value, state[key]) for key, value in model.state_dict().items()):
        row.wrong.append("examine changed the model")
    matched = match([layer.function for layer in found.layers], reference)
    row.seen = f"{len(matched)} of {len(reference.layers)}"
    missing = Counter(reference.layers[key][0] for key in reference.layers.keys() - matched.keys())
    for kind, number in missing.items():
        if not is_named(kind, found.summary):
            row.wrong.append(f"{number} {kind} not seen, and not named")
    extra = Counter(layer.function for layer in found.layers)
    extra -= Counter(found.layers[i].function for i in matched.values())
    with Counted() as counted, torch.no_grad():
        run(model, data[0])
    for kind, number in extra.items():  # the output may not depend on them
        if number > counted.kinds[kind] - Counter(k for k, *_ in reference.layers.values())[kind]:
            row.wrong.append(f"{number} {kind} that did not run")

    known = {key: i for key, i in matched.items() if reference.layers[key][1]}
    untold = [key for key, i in known.items() if getattr(found.layers[i], "after", "") == "unknown"]
    for key in untold:  # as its table says
        del known[key]
    right = [k for k, i in known.items() if found.layers[i].units == reference.layers[k][1]]
    row.units = f"{len(right)} of {len(known)}" + (f", {len(untold)} unknown" if untold else "")
    for key in [key for key in known if key not in right][:3]:
        layer = found.layers[known[key]]
        row.wrong.append(
            f"{layer.layer} ({layer.function}): {layer.units} units, but {key[0]} makes "
            f"{reference.layers[key][1]}"
        )
    same = [k for k in right if are_same(found.layers[known[k]], reference, k)]
    row.counts = f"{len(same)} of {len(right)}"
    for key in [key for key in right if key not in same][:3]:
        layer = found.layers[known[key]]
        row.wrong.append(
            f"{layer.layer} ({layer.function}): {int(layer.never_fired.sum())} never fired and "
            f"{int(layer.dead.sum())} are dead, but {int(reference.layers[key][2].sum())} never "
            f"fired after {key[0]}"
        )
    total = sum(map(len, planted.values()))
    has = sum(
        int(found.layers[known[key]].never_fired[list(units)].sum())
        for key, units in planted.items()
        if key in same
    )
    row.planted = f"{has} of {total}"
    if has < total and len(same) == len(matched) == len(reference.layers):
        row.wrong.append(f"{row.planted} planted deaths found")
    if total == 0:
        row.wrong.append("no unit could be made dead")

    outputs = outputs_of(model, data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        treatment = treat(model, data, inplace=False)
    row.refused = [line for line in treatment.done if "not reinitialized" in line]
    flips = [line for line in treatment.done if "flipped" in line]
    largest, scale = change(outputs, outputs_of(treatment.model, data))
    row.outputs = "same bits" if largest == 0 else f"{largest:.1e}"
    if largest > 1e-4 * max(scale, 1) and not flips:
        row.wrong.append(f"outputs changed by {largest:.2g} of {scale:.2g}")
    row.outputs += ", signs flipped" if flips else ""
    if any("undone" in line for line in treatment.done):
        row.wrong += [line for line in treatment.done if "undone" in line][:2]
    was = reference.silent(dead=True)
    now = Reference.of(treatment.model, data, {}).silent()
    dead = sum(map(len, was.values()))
    left = sum(len(units & now.get(key, units)) for key, units in was.items())
    row.revived = f"{dead - left} of {dead}"
    claims = [line for line in treatment.done if " reinitialized; " in line]
    if claims and left == dead and not any("as before" in line for line in claims):
        row.wrong.append(f"none fires of the units that treat revived: {claims[0]}")
    return row


def are_same(layer: object, reference: Reference, key: tuple) -> bool:
    """Whether the units that never fired are the same; dead are those that get no gradient."""
    never = reference.layers[key][2]
    blocked = reference.blocked.get(key, torch.ones_like(never))
    is_dead_rightly = not (layer.dead & ~(never & blocked)).any()
    return torch.equal(layer.never_fired, never) and is_dead_rightly


def match(functions: list[str], reference: Reference) -> dict[tuple, int]:
    """Return, for each activation of the reference, the layer that it is, by kind and order."""
    matched = {}
    kinds = {key: layer[0] for key, layer in reference.layers.items()}
    for kind in set(kinds.values()):
        layers = (i for i, function in enumerate(functions) if is_kind(function, kind))
        matched |= dict(zip((k for k, v in kinds.items() if v == kind), layers, strict=False))
    return matched


def is_named(kind: str, summary: str) -> bool:
    """Whether an activation is named as not seen, by its function or module."""
    text = summary.lower().replace("_", "")
    return (
        re.search(rf"\bnot\b[^.;]*{kind.removesuffix('_new').replace('_', '')}", text) is not None
    )


def is_kind(function: str, kind: str) -> bool:
    function = {"clamp_min": "clamp", "clip": "clamp", "swish": "silu"}.get(function, function)
    return function == kind


def outputs_of(model: nn.Module, data: list) -> list[Tensor]:
    with torch.no_grad():
        leaves = [leaf for args in data for leaf in tree_leaves(run(model, args))]
    return [leaf.clone() for leaf in leaves if isinstance(leaf, Tensor)]


def change(was: list[Tensor], now: list[Tensor]) -> tuple[float, float]:
    """Return the largest change of an output, and the largest output."""
    pairs = [(a.double(), b.double()) for a, b in zip(was, now, strict=True)]
    largest = max(float((a - b).abs().nan_to_num(0).max()) for a, b in pairs)
    return largest, max(float(a.abs().max()) for a, _ in pairs)


def by_reason(refused: list[str]) -> dict[str, list[str]]:
    """Return the layers for each reason, without the names of modules in it."""
    layers: dict[str, list[str]] = {}
    for text in refused:
        layer, _, reason = text.partition(": not reinitialized: ")
        reason = " ".join(word for word in reason.split() if "." not in word.strip(",.;()"))
        layers.setdefault(reason.removesuffix(" in"), []).append(layer)
    return layers


def line(cells: list[str]) -> str:
    widths = (30, 10, 10, 10, 9, 24, 10)
    return "  ".join(c.ljust(w) for c, w in itertools.zip_longest(cells, widths, fillvalue=""))


def main(names: list[str]) -> int:
    print(line(["model", "seen", "units", "counts", "planted", "outputs", "revived"]), flush=True)
    rows, absent = [], []
    for name in names or ARCHITECTURES:
        start = time.perf_counter()
        try:
            row = check(name)
        except ModuleNotFoundError as error:
            absent.append(f"{name}: {error}")
            continue
        except Exception as error:
            trace = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{trace.filename.rpartition('site-packages/')[2]}:{trace.lineno}"
            row = Row(name, wrong=[f"{type(error).__name__}: {error} ({where})"])
        rows.append(row)
        cells = [row.name, row.seen, row.units, row.counts, row.planted, row.outputs, row.revived]
        print(line(cells), f"{time.perf_counter() - start:.0f} s")
        for reason, layers in by_reason(row.refused).items():
            more = f" and {len(layers) - 1} more" if len(layers) > 1 else ""
            print(f"    refused: {layers[0]}{more}: {reason}")
        for text in row.wrong:
            print(f"    WRONG: {text}", flush=True)
    wrong = [row.name for row in rows if row.wrong]
    print(f"{len(rows)} architectures: {len(rows) - len(wrong)} right, {len(wrong)} wrong")
    for text in absent:
        print(f"not installed: {text}")
    return 1 if wrong or absent else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="list the names")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(ARCHITECTURES))
        sys.exit()
    if unknown := set(arguments.names) - set(ARCHITECTURES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; see --list")
    torch.set_num_threads(1)  # the models are small
    sys.exit(main(arguments.names))
