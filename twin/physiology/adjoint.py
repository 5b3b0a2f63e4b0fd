"""A scan over time whose gradient costs little more than itself.

Reverse mode through `lax.scan` adds up the cotangent of every parameter at every step, each in a kernel of its own.
Here the backward scan carries the adjoint of the state alone, from the stored states; what parameters and inputs
receive is then one pullback over all steps at once. For gradients only: JAX has no forward mode through it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Step = Callable[[Any, Any, Any], Any]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def scan_states(step: Step, theta: Any, start: Any, inputs: Any) -> Any:
    """States after each step, time first.

    step : (theta, state, input of the step) to the next state; closes over no traced value. theta, start, inputs :
    PyTrees of floating point arrays, `inputs` with time first, `start` of the shapes of a state.
    """

    def advance(state: Any, now: Any) -> tuple[Any, Any]:
        state = step(theta, state, now)
        return state, state

    return jax.lax.scan(advance, start, inputs)[1]


def _forward(step: Step, theta: Any, start: Any, inputs: Any) -> tuple[Any, tuple]:
    states = scan_states(step, theta, start, inputs)
    return states, (theta, start, inputs, states)


def _backward(step: Step, kept: tuple, cotangent: Any) -> tuple[Any, Any, Any]:
    theta, start, inputs, states = kept
    before = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b[:-1]]), start, states)

    def back(adjoint: Any, at: tuple) -> tuple[Any, Any]:
        state, now, direct = at
        adjoint = jax.tree.map(jnp.add, adjoint, direct)
        _, pull = jax.vjp(lambda y: step(theta, y, now), state)
        return pull(adjoint)[0], adjoint

    rest = jax.tree.map(jnp.zeros_like, start)
    of_start, adjoints = jax.lax.scan(back, rest, (before, inputs, cotangent), reverse=True)
    every = jax.vmap(step, in_axes=(None, 0, 0))
    _, pull = jax.vjp(lambda p, x: every(p, before, x), theta, inputs)
    of_theta, of_inputs = pull(adjoints)
    return of_theta, of_start, of_inputs


scan_states.defvjp(_forward, _backward)
