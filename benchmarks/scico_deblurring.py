"""Deblurring with total variation by SCICO's ADMM, in an environment of its own.

    PYTHON benchmarks/scico_deblurring.py PROBLEM.npz

`inversion_suite.py deblurring --scico PYTHON` calls it: SCICO asks for other versions
of JAX. The linear subproblem is solved by conjugate gradients, ten of them with a warm
start; `rho` is the best of a grid. Prints a JSON object: seconds and objectives.
"""

import json
import sys
import time

import jax.numpy as jnp
import numpy as np
from scico import functional, linop, loss
from scico.optimize.admm import ADMM, LinearSubproblemSolver

ITERATIONS, RHOS = 150, (0.1, 0.3, 1.0, 3.0)


def main(path):
    """Solve the problem of a file, and print what was found."""
    problem = np.load(path)
    y, profile = jnp.asarray(problem["y"]), problem["profile"]
    weight, shape = float(problem["weight"]), y.shape
    reach = len(profile) // 2

    def blur(x):
        for axis in (0, 1):
            widths = [(0, 0), (0, 0)]
            widths[axis] = (reach, reach)
            padded = jnp.pad(x, widths, mode="symmetric")
            count = shape[axis]
            slices = [slice(i, i + count) for i in range(len(profile))]
            parts = [padded[s] if axis == 0 else padded[:, s] for s in slices]
            x = sum(float(f) * part for f, part in zip(profile, parts, strict=True))
        return x

    def differences(x):
        down = jnp.pad(x[1:] - x[:-1], ((0, 1), (0, 0)))
        right = jnp.pad(x[:, 1:] - x[:, :-1], ((0, 0), (0, 1)))
        return jnp.stack([down, right])

    operator = linop.LinearOperator(shape, shape, blur, jit=True)
    gradient = linop.LinearOperator(shape, (2, *shape), differences, jit=True)
    fidelity = loss.SquaredL2Loss(y=y, A=operator)
    variation = weight * functional.L21Norm(l2_axis=0)
    best = None
    for rho in RHOS:
        for _ in range(2):  # the first compiles
            solver = ADMM(
                f=fidelity,
                g_list=[variation],
                C_list=[gradient],
                rho_list=[rho],
                x0=jnp.zeros(shape),
                maxiter=ITERATIONS,
                subproblem_solver=LinearSubproblemSolver(
                    cg_kwargs={"tol": 1e-4, "maxiter": 10}
                ),
            )
            seconds, objectives, spent = [], [], 0.0
            for _ in range(ITERATIONS):
                begun = time.process_time()
                solver.step()
                solver.x.block_until_ready()
                spent += time.process_time() - begun
                seconds.append(spent)
                value = fidelity(solver.x) + variation(gradient(solver.x))
                objectives.append(float(value))
        found = {"rho": rho, "seconds": seconds, "objectives": objectives}
        if best is None or objectives[-1] < best["objectives"][-1]:
            best = found
        print(rho, seconds[-1], objectives[-1], file=sys.stderr)
    print(json.dumps(best))


if __name__ == "__main__":
    main(sys.argv[1])
