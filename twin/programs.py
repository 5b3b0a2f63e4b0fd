"""Compiled programs kept on disk: a second process neither traces nor compiles what an earlier one did.

JAX's own cache keeps the compiler's output but traces the model anew in each process, which is half of the time of
one forecast. A program is stored whole here, under a key of everything it depends on: the package's source, the
versions of what it is built with, the processor, the static arguments, and the shapes of the others. A file that does
not load is compiled again. Off until `keep_programs` is called; the folder may be deleted at any time.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import logging
import os
import pickle
import platform
import secrets
import tempfile
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental.serialize_executable import deserialize_and_load, serialize
from jaxtyping import Array, ArrayLike

_log = logging.getLogger(__name__)
_folder: Path | None = None
_CACHE_FROM_S = "jax_persistent_cache_min_compile_time_secs"
_BUILT_WITH = ("jax", "jaxlib", "numpy", "numpyro", "diffrax", "equinox")


def keep_programs(folder: Path | None) -> None:
    """Keep programs in `folder` from now on; None: compile in each process."""
    global _folder
    _folder = folder


def placed(values: ArrayLike | Sequence[float]) -> Array:
    """`jnp.asarray` for values of the host, which compiles a copy for each new shape (20 ms); this does not."""
    return values if isinstance(values, jax.Array) else jax.device_put(np.asarray(values))


@functools.cache
def _build() -> str:
    """Hash of the package's source, of what it is built with, and of the processor."""
    found = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        found.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    for name in _BUILT_WITH:
        found.update(f"{name} {metadata.version(name)}".encode())
    cpu = Path("/proc/cpuinfo")
    flags = (
        [line for line in cpu.read_text().splitlines() if line.startswith("flags")] if cpu.exists() else []
    )
    about = (platform.machine(), platform.processor(), flags[:1], os.environ.get("XLA_FLAGS"))
    found.update(repr(about).encode())
    return found.hexdigest()[:16]


class Program:
    """A jitted function whose compiled form outlives the process."""

    def __init__(
        self, function: Callable, static_argnames: tuple[str, ...], options: dict[str, Any] | None = None
    ):
        functools.update_wrapper(self, function)
        self.function = function
        self.static = static_argnames
        self.signature = inspect.signature(function)
        self.options = options
        self.jitted = jax.jit(function, static_argnames=static_argnames, compiler_options=options)
        self.ready: dict[Any, Callable] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _folder is None:
            return self.jitted(*args, **kwargs)
        given = self.signature.bind(*args, **kwargs).arguments
        fixed = {name: given.pop(name) for name in self.static}
        leaves, tree = jax.tree.flatten(given)
        if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
            return self.jitted(*args, **kwargs)
        leaves = jax.device_put(leaves)
        key = (_folder, tuple(fixed.values()), tree, tuple((x.shape, str(x.dtype)) for x in leaves))
        if key in self.ready:
            return self.ready[key](*leaves)
        x64 = jax.config.read("jax_enable_x64")
        about = (self.function.__qualname__, fixed, str(tree), key[3], x64, self.options)
        name = hashlib.sha256(repr(about).encode()).hexdigest()[:24]
        path = _folder / _build() / f"{self.function.__name__}-{name}.bin"
        try:  # the first run belongs to loading: what is broken shows there
            self.ready[key] = deserialize_and_load(*pickle.loads(path.read_bytes()))
            return jax.block_until_ready(self.ready[key](*leaves))
        except FileNotFoundError:
            pass
        except Exception as why:  # damaged, or made by something else
            _log.warning("stored program %s does not run (%s): compiling again", path.name, why)
        self.ready[key] = self._compile(path, fixed, tree, leaves)
        return self.ready[key](*leaves)

    def _compile(self, path: Path, fixed: dict[str, Any], tree: Any, leaves: list[Any]) -> Callable:
        def flat(*values: Any) -> Any:
            return self.function(**jax.tree.unflatten(tree, values), **fixed)

        # a program out of JAX's own cache cannot be stored again (it comes back without its kernels): a name that no
        # cache knows, and no entry made there
        flat.__name__ = f"{self.function.__name__}_{secrets.token_hex(8)}"
        before = getattr(jax.config, _CACHE_FROM_S)
        jax.config.update(_CACHE_FROM_S, 1e9)
        try:
            program = jax.jit(flat, compiler_options=self.options).lower(*leaves).compile()
        finally:
            jax.config.update(_CACHE_FROM_S, before)
        try:
            _save(path, program)
        except Exception as why:  # the forecast does not depend on it
            _log.warning("program not kept in %s: %s", path.parent, why)
        return program


def _save(path: Path, program: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as out:
        out.write(pickle.dumps(serialize(program)))
    Path(out.name).replace(path)


#: for programs of many operations on few lanes: half the time to compile, at most a tenth more to run (measured on the
#: sweep of eight sensor women)
COMPILED_FAST = {"xla_backend_optimization_level": "1", "xla_cpu_use_fusion_emitters": False}


def stored(*static_argnames: str, options: dict[str, Any] | None = None) -> Callable[[Callable], Program]:
    """Decorator: `jax.jit` with static arguments, kept on disk once `keep_programs` says where.

    options : of the compiler.
    """
    return lambda function: Program(function, static_argnames, options)
