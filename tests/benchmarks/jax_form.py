"""The plain variant in JAX: jit, a scan over the steps, vmap over the runs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


def _loss(weights: Any, omega: Any, tokens: Any, target: Any) -> Any:
    keys = tokens @ weights["W_K"].T
    keys /= jnp.linalg.norm(keys, axis=-1, keepdims=True)
    query = weights["W_Q"] @ tokens[-1]
    query /= jnp.linalg.norm(query)
    exponent = (keys + query) @ omega.T  # (n, m)
    scores = jax.nn.logsumexp(exponent, axis=-1) - (keys**2).sum(-1) / 2
    output = jax.nn.softmax(scores) @ (tokens @ weights["W_V"][-1])
    return (output - target[0]) ** 2


@jax.jit  # type: ignore[untyped-decorator]
def train_jax(weights: Any, omega: Any, tokens: Any, targets: Any, learning_rate: float) -> Any:
    """One SGD step per prompt and run; first axis of every argument but the last: run."""

    def one_run(weights: Any, omega: Any, tokens: Any, targets: Any) -> Any:
        def step(weights: Any, prompt: Any) -> Any:
            loss, gradient = jax.value_and_grad(_loss)(weights, omega, *prompt)
            return jax.tree.map(lambda w, g: w - learning_rate * g, weights, gradient), loss

        return jax.lax.scan(step, weights, (tokens, targets))

    return jax.vmap(one_run)(weights, omega, jnp.asarray(tokens), jnp.asarray(targets))
