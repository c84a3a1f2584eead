"""What of Keras an architecture may name: layers and functions with their arguments, as data.

A layer that is missing here is added by one line. Only these names, and literals, reach the
generated code.
"""

from __future__ import annotations

from dataclasses import dataclass

# Arguments mean the same in every layer, so their kinds stand here once.
_KINDS = {
    "count": "filters units input_dim output_dim depth_multiplier groups num_heads "
    "key_dim value_dim n",
    "integer": "seed",
    "number": "rate momentum epsilon alpha negative_slope max_value threshold stddev l1 l2 "
    "mask_value dropout recurrent_dropout scale offset",
    "flag": "use_bias center keepdims normalize return_sequences go_backwards stateful "
    "unroll unit_forget_bias reset_after use_scale mask_zero trainable",
    "sizes": "kernel_size pool_size strides dilation_rate size output_padding",
    "axes": "axis axes shared_axes attention_axes dims",
    "shape": "target_shape noise_shape output_shape",
    "margins": "cropping",
    "text": "padding data_format merge_mode interpolation score_mode dtype",
    "activation": "activation recurrent_activation",
    "layer": "layer backward_layer",
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names.split()}
_FUNCTION_KINDS = ("initializer", "regularizer", "constraint")

CHOICES = {
    "padding": ("valid", "same", "causal"),
    "data_format": ("channels_last", "channels_first"),
    "merge_mode": ("concat", "sum", "mul", "ave"),
    "interpolation": ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"),
    "score_mode": ("dot", "concat"),
    "dtype": ("float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16"),
}
INPUT_DTYPES = ("float16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool")

# `!` marks an argument that must be given, `name:kind` one that means another thing in this layer.
_WEIGHTS = (
    "use_bias kernel_initializer bias_initializer kernel_regularizer bias_regularizer "
    "activity_regularizer kernel_constraint bias_constraint"
)
_CONV = "filters! kernel_size! strides padding data_format dilation_rate"
_DEPTHWISE = (
    "kernel_size! strides padding depth_multiplier data_format dilation_rate activation use_bias "
    "depthwise_initializer bias_initializer depthwise_regularizer bias_regularizer "
    "activity_regularizer depthwise_constraint bias_constraint"
)
_SEPARABLE = (
    f"{_CONV} depth_multiplier activation use_bias depthwise_initializer pointwise_initializer "
    "bias_initializer depthwise_regularizer pointwise_regularizer bias_regularizer "
    "activity_regularizer depthwise_constraint pointwise_constraint bias_constraint"
)
_POOL = "strides padding data_format"
_RECURRENT = (
    f"units! activation {_WEIGHTS} recurrent_initializer recurrent_regularizer "
    "recurrent_constraint dropout recurrent_dropout seed return_sequences go_backwards stateful "
    "unroll"
)
_NORM = (
    "axis epsilon center scale:flag beta_initializer gamma_initializer beta_regularizer "
    "gamma_regularizer beta_constraint gamma_constraint"
)
_LAYERS = {
    "Dense": f"units! activation {_WEIGHTS}",
    "Embedding": "input_dim! output_dim! embeddings_initializer embeddings_regularizer "
    "embeddings_constraint mask_zero",
    **{f"Conv{n}D": f"{_CONV} groups activation {_WEIGHTS}" for n in (1, 2, 3)},
    **{f"Conv{n}DTranspose": f"{_CONV} output_padding activation {_WEIGHTS}" for n in (1, 2, 3)},
    **{f"DepthwiseConv{n}D": _DEPTHWISE for n in (1, 2)},
    **{f"SeparableConv{n}D": _SEPARABLE for n in (1, 2)},
    **{f"MaxPooling{n}D": f"pool_size {_POOL}" for n in (1, 2, 3)},
    **{f"AveragePooling{n}D": f"pool_size! {_POOL}" for n in (1, 2, 3)},
    **{f"GlobalMaxPooling{n}D": "data_format keepdims" for n in (1, 2, 3)},
    **{f"GlobalAveragePooling{n}D": "data_format keepdims" for n in (1, 2, 3)},
    "UpSampling1D": "size",
    "UpSampling2D": "size data_format interpolation",
    "UpSampling3D": "size data_format",
    "ZeroPadding1D": "padding:margins",
    **{f"ZeroPadding{n}D": "padding:margins data_format" for n in (2, 3)},
    "Cropping1D": "cropping",
    **{f"Cropping{n}D": "cropping data_format" for n in (2, 3)},
    "SimpleRNN": _RECURRENT,
    "LSTM": f"{_RECURRENT} recurrent_activation unit_forget_bias",
    "GRU": f"{_RECURRENT} recurrent_activation reset_after",
    "Bidirectional": "layer! merge_mode backward_layer",
    "TimeDistributed": "layer!",
    "BatchNormalization": f"{_NORM} momentum moving_mean_initializer moving_variance_initializer",
    "LayerNormalization": _NORM,
    "GroupNormalization": f"groups {_NORM}",
    "UnitNormalization": "axis",
    "Rescaling": "scale! offset",
    "Activation": "activation!",
    "ReLU": "max_value negative_slope threshold",
    "LeakyReLU": "negative_slope",
    "PReLU": "shared_axes alpha_initializer alpha_regularizer alpha_constraint",
    "ELU": "alpha",
    "Softmax": "axis",
    "Dropout": "rate! noise_shape seed",
    "AlphaDropout": "rate! noise_shape seed",
    **{f"SpatialDropout{n}D": "rate! seed" for n in (1, 2, 3)},
    "GaussianNoise": "stddev! seed",
    "GaussianDropout": "rate! seed",
    "ActivityRegularization": "l1 l2",
    "Masking": "mask_value",
    "Flatten": "data_format",
    "Reshape": "target_shape!",
    "Permute": "dims!",
    "RepeatVector": "n!",
    "Add": "",
    "Subtract": "",
    "Multiply": "",
    "Average": "",
    "Maximum": "",
    "Minimum": "",
    "Concatenate": "axis",
    "Dot": "axes! normalize",
    "Attention": "use_scale score_mode dropout seed",
    "AdditiveAttention": "use_scale dropout",
    "MultiHeadAttention": "num_heads! key_dim! value_dim dropout use_bias output_shape "
    "attention_axes kernel_initializer bias_initializer kernel_regularizer bias_regularizer "
    "activity_regularizer kernel_constraint bias_constraint seed",
}
_LIST_INPUT = (
    "Add Subtract Multiply Average Maximum Minimum Concatenate Dot Attention AdditiveAttention"
)

_FUNCTIONS = {
    "initializer": {
        "Zeros": "",
        "Ones": "",
        "Constant": "value",
        "Identity": "gain",
        "Orthogonal": "gain seed:integer",
        "RandomNormal": "mean stddev seed:integer",
        "TruncatedNormal": "mean stddev seed:integer",
        "RandomUniform": "minval maxval seed:integer",
        **{
            f"{k}{d}": "seed:integer"
            for k in ("Glorot", "He", "Lecun")
            for d in ("Normal", "Uniform")
        },
    },
    "regularizer": {"L1": "l1", "L2": "l2", "L1L2": "l1 l2"},
    "constraint": {
        "MaxNorm": "max_value axis:axes",
        "MinMaxNorm": "min_value max_value rate axis:axes",
        "NonNeg": "",
        "UnitNorm": "axis:axes",
    },
}
_ACTIVATIONS = (
    "celu elu exponential gelu hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid "
    "log_softmax mish relu relu6 selu sigmoid silu softmax softplus softsign swish tanh"
)
ACTIVATIONS = tuple(_ACTIVATIONS.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Callable:
    """A layer or a function: what it takes."""

    name: str
    arguments: dict[str, str]
    """Name to kind, in the order in which they are written."""
    required: tuple[str, ...] = ()
    input: str = "one"
    """`one` tensor, a `list` of them, or `each` as an argument of its own."""


def _callable(name: str, text: str, *, common: str = "", default: str = "") -> Callable:
    arguments: dict[str, str] = {}
    required = []
    for word in f"{text} {common}".split():
        argument, _, kind = word.rstrip("!").partition(":")
        arguments[argument] = kind or default or _kind(argument)
        if word.endswith("!"):
            required.append(argument)
    many = "each" if name == "MultiHeadAttention" else "list"
    takes_many = name == "MultiHeadAttention" or name in _LIST_INPUT.split()
    return Callable(
        name=name,
        arguments=arguments,
        required=tuple(required),
        input=many if takes_many else "one",
    )


def _kind(argument: str) -> str:
    for kind in _FUNCTION_KINDS:
        if argument.endswith(f"_{kind}"):
            return kind
    return _KIND_OF[argument]


LAYERS = {name: _callable(name, text, common="dtype trainable") for name, text in _LAYERS.items()}
FUNCTIONS = {
    kind: {name: _callable(name, text, default="number") for name, text in table.items()}
    for kind, table in _FUNCTIONS.items()
}


def snake_case(name: str) -> str:
    """Return the lower-case name under which Keras knows a function too, e.g. `glorot_uniform`."""
    special = {"L1": "l1", "L2": "l2", "L1L2": "l1_l2"}
    words = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
    return special.get(name, words.lstrip("_"))
