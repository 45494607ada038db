"""The order in which one round updates the blocks.

* `output_to_input`: one after the other (Gauss-Seidel). In one reverse-mode
  sweep, every block sees the lifted variables that the blocks behind it got.
* `red_black`: in one half sweep the blocks of odd depth, in another those of even
  depth. In a chain no two of a colour are neighbours, so each half moves all its
  blocks at once; where a skip joins two of a colour, the one behind goes first.
* `jacobi`: all blocks at once, each by the energy's gradient at the old point.

Every order keeps the energy from rising with steps of length `w_l/(m L_l)`,
`m = 1` for the first two. For Jacobi, write `δ_l` for the moves. A block c couples
its own variable to those it reads, `z_c = Σ_p J_cp x_p` with at most m terms: by
`w_c ⟨δ_c, Σ_p J_cp δ_p⟩ ≤ ½ w_c ‖δ_c‖² + ½ w_c m Σ_p ‖J_cp δ_p‖²`, the smooth part
of the energy bends by at most `2 m L_l + w_l` in block l. A proximal or mirror step
of inverse length `λ` on top of the `w_l`-strongly convex part allows `2λ + w_l`.
In a chain (m = 1) all blocks at once therefore need no shorter step.
"""

from keras_lifted.lifting.structure import Structure

OUTPUT_TO_INPUT = "output_to_input"
RED_BLACK = "red_black"
JACOBI = "jacobi"
ORDERS = (OUTPUT_TO_INPUT, RED_BLACK, JACOBI)


def groups(order: str, structure: Structure) -> list[set[str]]:
    """Return which calls each sweep of a round moves."""
    if order != RED_BLACK:
        return [set(structure.keys)]
    depth = structure.depth
    halves = [{key for key in depth if depth[key] % 2 == odd} for odd in (1, 0)]
    return [half for half in halves if half]


def shortening(order: str, structure: Structure) -> int:
    """Return `m`, by which steps are divided."""
    return structure.widest if order == JACOBI else 1
