"""Benchmarks: what a step costs, and what quality it buys.

    KERAS_BACKEND=jax python -m benchmarks run cost
    KERAS_BACKEND=jax python -m benchmarks run quality --tasks mlp --methods adamw,soap
    python -m benchmarks report

A suite (suites.py) names tasks (tasks.py, networks.py, data.py) and methods
(methods.py, baselines.py); the suite zoo names models that others wrote (zoo.py,
keras_io.py), which swap.py measures. runner.py searches rates (rates.py), trains and
measures (timing.py); store.py appends a line a run to results/runs.jsonl; summaries.py
and report.py make docs/benchmarks.md of them, readme.py README's table. A result that
stands is not measured again.
On a CPU the seconds are those of the processor: give the process one core
(`taskset -c 0`). SOAP and Shampoo are slow under TensorFlow's XLA: compare on JAX.
"""
