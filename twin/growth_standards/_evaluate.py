"""From scalar kernels to arrays: broadcasting, floating type, range checks, sex codes."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtr, ndtri
from jax.typing import ArrayLike

from twin.errors import UnusableInput
from twin.growth_standards._curves import FEMALE, MALE, UNKNOWN, Standard

_SEX_CODES = {"female": FEMALE, "male": MALE, "unknown": UNKNOWN}

Sex = ArrayLike | str | Sequence[str] | None


def sex_code(sex: Sex) -> Array:
    """Integer codes 0 female, 1 male, -1 unknown, from codes, words or None (unknown).

    sex : "female", "male", "unknown", a sequence of these, None, or integer codes (may be traced).
    Returns : (*batch) int32.
    Raises : UnusableInput for any other word. A code outside -1..1 gives NaN in the functions that use it.
    """
    if sex is None:
        return jnp.asarray(UNKNOWN, jnp.int32)
    if isinstance(sex, str):
        return jnp.asarray(_code_of(sex), jnp.int32)
    if isinstance(sex, (list, tuple, np.ndarray)) and np.asarray(sex).dtype.kind in "UTO":
        words = np.asarray(sex, dtype=object)
        return jnp.asarray(np.vectorize(_code_of, otypes=[np.int32])(words))
    return jnp.asarray(sex).astype(jnp.int32)


def _code_of(word: object) -> int:
    if isinstance(word, str) and word in _SEX_CODES:
        return _SEX_CODES[word]
    raise UnusableInput(
        "unknown-sex",
        f"fetal sex {word!r} is not known; expected one of {sorted(_SEX_CODES)} or the codes 0 female, "
        "1 male, -1 unknown. Nothing was computed. Use 'unknown' when the sex is not recorded.",
    )


def as_floats(*values: ArrayLike) -> tuple[Array, ...]:
    """Arrays of one floating type: that of the arguments, or the default when all are integers."""
    dtype = jnp.result_type(*values)
    if not jnp.issubdtype(dtype, jnp.floating):
        dtype = jnp.result_type(float)
    return tuple(jnp.asarray(value, dtype) for value in values)


def z_of(standard: Standard, value: ArrayLike, gestational_day: ArrayLike, sex: Sex = None) -> Array:
    """(*batch) z; NaN outside the days of the standard or for a value that is not positive."""
    value, day = as_floats(value, gestational_day)
    return _z_of(standard, value, day, sex_code(sex))


def value_of(standard: Standard, z: ArrayLike, gestational_day: ArrayLike, sex: Sex = None) -> Array:
    """(*batch) value; NaN outside the days of the standard."""
    z, day = as_floats(z, gestational_day)
    return _value_of(standard, z, day, sex_code(sex))


def centile_of_z(z: ArrayLike) -> Array:
    """(*batch) centile 0-100 of a z-score."""
    return _centile_of_z(*as_floats(z))


@jax.jit
def _centile_of_z(z: Array) -> Array:
    return 100 * ndtr(z)


def z_of_centile(centile: ArrayLike) -> Array:
    """(*batch) z of a centile; NaN unless 0 < centile < 100."""
    return _z_of_centile(*as_floats(centile))


@jax.jit
def _z_of_centile(centile: Array) -> Array:
    inside = (centile > 0) & (centile < 100)
    return jnp.where(inside, ndtri(jnp.where(inside, centile, 50.0) / 100), jnp.nan)


@partial(jax.jit, static_argnums=0)
def _z_of(standard: Standard, value: Array, day: Array, sex: Array) -> Array:
    def scalar(value: Array, day: Array, sex: Array) -> Array:
        day, known = _inside(standard, day, sex)
        # One gram, millimetre or centimetre is no fetus, and ln ln of it does not exist (LMS).
        known &= value > 1
        z = standard.z_from_value(jnp.where(known, value, standard.typical), day, sex)
        return jnp.where(known, z, jnp.nan)

    return over_batch(scalar, value, day, sex)


@partial(jax.jit, static_argnums=0)
def _value_of(standard: Standard, z: Array, day: Array, sex: Array) -> Array:
    def scalar(z: Array, day: Array, sex: Array) -> Array:
        day, known = _inside(standard, day, sex)
        return jnp.where(known, standard.value_from_z(z, day, sex), jnp.nan)

    return over_batch(scalar, z, day, sex)


def over_batch(scalar: Callable[..., Array], *values: Array) -> Array:
    """The scalar function at every element of the broadcast arguments: one vmap, flattened."""
    values = tuple(jnp.broadcast_arrays(*values))
    if values[0].ndim == 0:
        return scalar(*values)
    return jax.vmap(scalar)(*(value.ravel() for value in values)).reshape(values[0].shape)


def _inside(standard: Standard, day: Array, sex: Array) -> tuple[Array, Array]:
    """A day that is safe to evaluate, and whether it and the sex code were inside the standard."""
    known = (day >= standard.first_day) & (day <= standard.last_day) & (sex >= UNKNOWN) & (sex <= MALE)
    return jnp.where(known, day, (standard.first_day + standard.last_day) / 2), known
