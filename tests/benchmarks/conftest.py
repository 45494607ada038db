"""Noise in place of images, and the command of the benchmarks."""

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import data
from benchmarks import store


@pytest.fixture
def noise(monkeypatch):
    """Images of noise instead of Fashion-MNIST."""
    rng = np.random.default_rng(0)

    def part(n):
        return rng.random((n, 28, 28, 1), "float32"), rng.integers(0, 10, n)

    drawn = part(600), part(100)
    monkeypatch.setattr(data, "images", lambda name: drawn)


@pytest.fixture
def run(noise, monkeypatch, tmp_path):
    """Run the command; return its records."""

    def run(*arguments):
        path = tmp_path / "runs.jsonl"
        monkeypatch.setattr(
            "sys.argv", ["benchmarks", "run", *arguments, "--results", str(path)]
        )
        command.main()
        return store.load(path)

    return run
