"""Choices that hold for the whole process."""

from dataclasses import dataclass, replace

import jax

DTYPES = ("float32", "float64")
PRECISIONS = ("default", "high", "highest")


@dataclass(frozen=True)
class Settings:
    """`dtype` None means: as the networks are. Matrix products are exact to their dtype by default (no TF32)."""

    dtype: str | None = None
    matmul_precision: str = "highest"


_settings = Settings()


def settings() -> Settings:
    """The choices in force."""
    return _settings


def setup(*, dtype: str | None = None, matmul_precision: str | None = None) -> Settings:
    """Choose the precision of this process; call it first, before networks are made.

    `dtype="float64"` enables 64-bit numbers in JAX and trains in them, "float32" the reverse; networks
    made before are cast. `matmul_precision` is JAX's, "highest" unless said. What is left out stays as it is.
    """
    global _settings  # noqa: PLW0603 - the one process-wide state, set here alone
    if dtype is not None:
        if dtype not in DTYPES:
            raise ValueError(f"setup(dtype={dtype!r}): choose one of {', '.join(DTYPES)}")
        jax.config.update("jax_enable_x64", dtype == "float64")
        _settings = replace(_settings, dtype=dtype)
    if matmul_precision is not None:
        if matmul_precision not in PRECISIONS:
            raise ValueError(f"setup(matmul_precision={matmul_precision!r}): choose one of {', '.join(PRECISIONS)}")
        _settings = replace(_settings, matmul_precision=matmul_precision)
    return _settings


def run_dtype(requested: str | None, networks: str) -> str:
    """The dtype of a run: asked for, else set up, else that of its networks."""
    dtype = requested or _settings.dtype or networks
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r}: choose one of {', '.join(DTYPES)}")
    if dtype == "float64" and not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise ValueError(
            'dtype="float64" was asked for but JAX has 64-bit numbers switched off: call '
            'tx.setup(dtype="float64") at the top of the script, before networks are made'
        )
    return dtype
