"""The only package that imports tensorflow or jax.

Everything else is written in `keras.ops`. A backend module offers

* `gradient(function, arguments)`: the value of `function(*arguments)`, which
  returns `(scalar, auxiliary)`, and the gradients in the arguments,
* `dense(gradient)`: one of these as a tensor, where it is rows of a table,
* `vector_jacobian(function, point, cotangent)`,
* `pullback(function, point)`: the value, and a function of the cotangent,
* `batched(function, elements)`: `function` of every slice of the first axis,
* `while_loop(more, body, state)` and `cond(predicate, yes, no)`,
* `scan(body, start, inputs, dtypes, reverse)`: a loop along the first axis of
  `inputs`, compiled once whatever its length; `dtypes` are those of the outputs,
* `compiled(function, xla)`: `function`, compiled at its first call,
* `poisson(rate, seed)`: Poisson samples,
* `trace(function, argument)`: the dataflow graph of a function, not run,
* `run_step(model, step, …)` and `apply_if(good, …)`: how a training step reads and
  writes the variables; `STATEFUL` says whether these hold their values themselves,
* `everywhere(good)`: whether a flag holds on all replicas,
* `current_trace()`: what identifies the trace that runs now,
* `make_train_function(model, make, force)`: Keras's `make`, for `model`,
* `on_host(function, outputs, …)`: calls a NumPy function in its place in the order of
  a training step; it takes arrays and returns a list of them, `outputs` are their
  shapes and dtypes. `HOST_IN_XLA` says whether XLA compiles such a step,
* `solve(a, b)` of one system,
* `read_rows(variable, index)` and `write_rows(variable, index, rows)`,
* `accelerated()`: whether steps run on another device than the CPU,
* `replicas()`: how many copies of the model train on one batch together,
* `check_scope(variables)`: raises an error unless the replicas have them,
* `sum_over_replicas(values)` and `assign_all(updates)`: what a step of the weights
  does across these copies.
"""

import keras

_name = keras.backend.backend()
if _name == "tensorflow":
    from keras_lifted.backend.replicas import apply_if
    from keras_lifted.backend.replicas import assign_all
    from keras_lifted.backend.replicas import check_scope
    from keras_lifted.backend.replicas import everywhere
    from keras_lifted.backend.replicas import replicas
    from keras_lifted.backend.replicas import sum_over_replicas
    from keras_lifted.backend.tensorflow import HOST_IN_XLA
    from keras_lifted.backend.tensorflow import STATEFUL
    from keras_lifted.backend.tensorflow import accelerated
    from keras_lifted.backend.tensorflow import batched
    from keras_lifted.backend.tensorflow import compiled
    from keras_lifted.backend.tensorflow import cond
    from keras_lifted.backend.tensorflow import current_trace
    from keras_lifted.backend.tensorflow import dense
    from keras_lifted.backend.tensorflow import gradient
    from keras_lifted.backend.tensorflow import make_train_function
    from keras_lifted.backend.tensorflow import on_host
    from keras_lifted.backend.tensorflow import poisson
    from keras_lifted.backend.tensorflow import pullback
    from keras_lifted.backend.tensorflow import read_rows
    from keras_lifted.backend.tensorflow import run_step
    from keras_lifted.backend.tensorflow import scan
    from keras_lifted.backend.tensorflow import solve
    from keras_lifted.backend.tensorflow import trace
    from keras_lifted.backend.tensorflow import vector_jacobian
    from keras_lifted.backend.tensorflow import while_loop
    from keras_lifted.backend.tensorflow import write_rows
elif _name == "jax":
    from keras_lifted.backend.jax import HOST_IN_XLA
    from keras_lifted.backend.jax import STATEFUL
    from keras_lifted.backend.jax import accelerated
    from keras_lifted.backend.jax import apply_if
    from keras_lifted.backend.jax import assign_all
    from keras_lifted.backend.jax import batched
    from keras_lifted.backend.jax import check_scope
    from keras_lifted.backend.jax import compiled
    from keras_lifted.backend.jax import cond
    from keras_lifted.backend.jax import current_trace
    from keras_lifted.backend.jax import dense
    from keras_lifted.backend.jax import everywhere
    from keras_lifted.backend.jax import gradient
    from keras_lifted.backend.jax import make_train_function
    from keras_lifted.backend.jax import on_host
    from keras_lifted.backend.jax import poisson
    from keras_lifted.backend.jax import pullback
    from keras_lifted.backend.jax import read_rows
    from keras_lifted.backend.jax import replicas
    from keras_lifted.backend.jax import run_step
    from keras_lifted.backend.jax import scan
    from keras_lifted.backend.jax import solve
    from keras_lifted.backend.jax import sum_over_replicas
    from keras_lifted.backend.jax import trace
    from keras_lifted.backend.jax import vector_jacobian
    from keras_lifted.backend.jax import while_loop
    from keras_lifted.backend.jax import write_rows
else:
    raise ImportError(
        "keras_lifted trains on the Keras backends 'tensorflow' and 'jax'. "
        f"Received: backend '{_name}'. Set the environment variable "
        "KERAS_BACKEND before the first import of keras."
    )

__all__ = [
    "HOST_IN_XLA",
    "STATEFUL",
    "accelerated",
    "apply_if",
    "assign_all",
    "batched",
    "check_scope",
    "compiled",
    "cond",
    "current_trace",
    "dense",
    "everywhere",
    "gradient",
    "make_train_function",
    "on_host",
    "poisson",
    "pullback",
    "read_rows",
    "solve",
    "replicas",
    "run_step",
    "scan",
    "sum_over_replicas",
    "trace",
    "vector_jacobian",
    "while_loop",
    "write_rows",
]
