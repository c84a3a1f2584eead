"""What one framework calls otherwise than the other, for who knows the words of both."""

from __future__ import annotations

from typing import Final

KERAS_AND_TORCH: Final = (
    # layers
    ("Dense", "Linear"),
    *((f"MaxPooling{n}D", f"MaxPool{n}d") for n in "123"),
    *((f"AveragePooling{n}D", f"AvgPool{n}d") for n in "123"),
    *((f"GlobalAveragePooling{n}D", f"AdaptiveAvgPool{n}d") for n in "123"),
    *((f"GlobalMaxPooling{n}D", f"AdaptiveMaxPool{n}d") for n in "123"),
    *((f"Conv{n}DTranspose", f"ConvTranspose{n}d") for n in "123"),
    *((f"SpatialDropout{n}D", f"Dropout{n}d") for n in "123"),
    *((f"ZeroPadding{n}D", f"ZeroPad{n}d") for n in "123"),
    *((f"UpSampling{n}D", "Upsample") for n in "321"),
    *(("BatchNormalization", f"BatchNorm{n}d") for n in "132"),
    ("GroupNormalization", "GroupNorm"),
    ("LayerNormalization", "LayerNorm"),
    ("Reshape", "Unflatten"),
    ("Concatenate", "cat"),
    ("Multiply", "mul"),
    ("Subtract", "sub"),
    # losses
    ("BinaryCrossentropy", "BCEWithLogitsLoss"),
    ("BinaryCrossentropy", "BCELoss"),
    ("CategoricalCrossentropy", "CrossEntropyLoss"),
    ("SparseCategoricalCrossentropy", "CrossEntropyLoss"),
    ("Huber", "SmoothL1Loss"),
    ("Huber", "HuberLoss"),
    ("KLDivergence", "KLDivLoss"),
    ("mae", "L1Loss"),
    ("mse", "MSELoss"),
    ("MeanAbsoluteError", "L1Loss"),
    ("MeanSquaredError", "MSELoss"),
    ("Poisson", "PoissonNLLLoss"),
    # schedules
    ("CosineDecay", "CosineAnnealingLR"),
    ("CosineDecayRestarts", "CosineAnnealingWarmRestarts"),
    ("ExponentialDecay", "ExponentialLR"),
    ("PiecewiseConstantDecay", "MultiStepLR"),
    ("PolynomialDecay", "PolynomialLR"),
)
"""Pairs; of several for one word the last is meant."""
