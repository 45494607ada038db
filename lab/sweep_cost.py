"""Times steps of lifted models beside keras.Model: `python lab/sweep_cost.py mlp lifted,pg3 [--firsts]`.

A name such as `lifted+fixed` takes a part of the step out; see `make`.
"""

import os, sys, time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np, keras
import keras_lifted as kl
from benchmarks import networks, timing, data
from functools import partial

what = sys.argv[1]
names = sys.argv[2].split(",")
size = {"mlp": 128, "resnet8": 32, "resnet20": 32}[what]
shape = {"mlp": (784,)}.get(what, (32, 32, 3))


def build(cls):
    if what == "mlp":
        return networks.dense((784,), [(256, kl.layers.ReLU)] * 2, 10, cls)
    return networks.resnet(shape, {"resnet8": 1, "resnet20": 3}[what], cls)


import keras_lifted.models.step as st, keras_lifted.lifting.rule as sc, keras_lifted.lifting.problem as pr
import keras_lifted.backend as kb
from keras import ops

orig = (st._is_good, sc.Scale.chosen, pr.moved, kb.apply_if, st.commit)


def noif(good, o, g, v):
    o.apply(g, v)


def nocommit(good, u):
    for v, x in u:
        v.assign(x)


def make(name):
    name, *exp = name.split("+")
    st._is_good, sc.Scale.chosen, pr.moved, kb.apply_if, st.commit = orig
    if "nogood" in exp:
        st._is_good = lambda model, loss, g: ops.isfinite(loss)
    if "fixed" in exp:
        sc.Scale.chosen = lambda self, q, z: self
    import keras_lifted.optimizers.state as os_

    if not hasattr(os_, "keep"):
        os_.keep = os_.LiftedState.chosen_weights
    os_.LiftedState.chosen_weights = (
        (lambda self, p, s: {}) if "plainrule" in exp else os_.keep
    )
    import keras_lifted.penalties.bregman as du

    if not hasattr(du, "keep"):
        du.keep = du.DualPenalty.z_gradient
    du.DualPenalty.z_gradient = (
        (lambda self, sigma, z, d: ops.where(z > 0, d, 0.0))
        if "cheap" in exp
        else du.keep
    )
    if "plainrule" in exp:
        pr.moved = lambda call, z, slot, move, pen, scale, first: call.plain(z)
    if "noif" in exp:
        kb.apply_if = noif
    if "nocommit" in exp:
        st.commit = nocommit
    return _make(name)


def _make(name):
    keras.utils.set_random_seed(0)
    if name == "keras":
        m = build(keras.Model)
        o = "adam"
    else:
        m = build(kl.LiftedModel)
        o = "adam"
        if name.startswith("pg"):
            o = kl.optimizers.BlockCoordinateDescent(
                "adam", lifted_update=kl.updates.ProximalGradient(steps=int(name[2:]))
            )
    m.compile(
        o,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=True,
    )
    return m


rng = np.random.default_rng(0)
n = size * (timing.WARM_UP + timing.STEPS)
x = rng.normal(size=(n, *shape)).astype("float32")
y = rng.integers(0, 10, n)


def first(m):
    t = time.process_time()
    w = time.perf_counter()
    m.fit(x[:size], y[:size], batch_size=size, verbose=0)
    return time.process_time() - t, time.perf_counter() - w


# warm process
w = keras.Sequential([keras.layers.Dense(1)])
w.compile("adam", "mse")
w.fit(x[:8].reshape(8, -1), y[:8], verbose=0)
models = {}
f = {}
for nme in ["keras", *names]:
    models[nme] = make(nme)
    f[nme] = first(models[nme])
    print(nme, "first", f[nme], f[nme][0] / f["keras"][0], flush=True)
# first steps repeated, fresh model
if "--firsts" in sys.argv:
    for r in range(3):
        g = {nme: first(make(nme))[0] for nme in models}
        print(
            {k: round(v / g["keras"], 2) for k, v in g.items()}, g["keras"], flush=True
        )
t = timing.in_turn(list(models.values()), x, y, size)
r = t / t[:, :1]
print(
    {
        k: (
            round(float(np.median(t[:, i])) * 1e3, 2),
            round(float(np.median(r[:, i])), 3),
            np.percentile(r[:, i], (25, 75)).round(3).tolist(),
        )
        for i, k in enumerate(models)
    }
)
