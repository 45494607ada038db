"""Every tutorial, and the demo, run from start to end."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
TUTORIALS = sorted((ROOT / "tutorials").glob("[0-9]*.py"))


def run(script, folder, *arguments):
    """Output of a script that runs in a folder of its own, with the small data."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "KERAS_LIFTED_DIGITS": "1",
        "MPLBACKEND": "agg",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def marked(script):
    """All tutorials but the first train for longer."""
    marks = [] if script.stem == "01_quickstart" else [pytest.mark.slow]
    return pytest.param(script, marks=marks, id=script.stem)


@pytest.mark.parametrize("script", [marked(script) for script in TUTORIALS])
def test_tutorial(script, tmp_path):
    for package in ("matplotlib", "skimage", "sklearn", "tensorboard"):
        pytest.importorskip(package)
    run(script, tmp_path)


@pytest.mark.slow
def test_demo(tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    demo = ROOT / "benchmarks" / "demo.py"
    printed = run(demo, tmp_path, "--digits", "--epochs", "2")
    for row in (
        "backprop",
        "lifted, sweep",
        "lifted, 3 proximal steps",
        "lifted, SteepestDescent",
    ):
        assert f"| {row} |" in printed
    output = tmp_path / "demo_output"
    assert (output / "learning_curves.png").stat().st_size > 10_000
    assert list((output / "logs").glob("*/train/events.out.tfevents.*"))
    assert len(list((output / "logs").glob("*/lifted/events.out.tfevents.*"))) == 3
