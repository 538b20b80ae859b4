"""Allen and Cahn's equation: two phases and the fronts between them."""

import functools
import math

import numpy as np

from .. import domain, nn, numpy as tnp
from ..expr import Node
from .coordinates import evenly, gathered, spread
from .etdrk4 import Etdrk4
from .problem import Answer, LibraryProblem, Task, refuse_outside

π = math.pi
DIFFUSION = 1e-4
MODES, STEPS = 2048, 2000  # half of the modes change the solution by 6e-7 at the first steps, by 1e-11 later


def solution(x: np.ndarray, t: np.ndarray, modes: int = MODES, steps: int = STEPS) -> np.ndarray:
    """u_t = 1e-4 u_xx + 5 (u - u³), u(x, 0) = x² cos(πx), periodic on (-1, 1).

    At points (x, t) whose times are multiples of 1/steps.
    """
    refuse_outside(t, 1.0)
    number = np.rint(t * steps).astype(int)
    if not np.allclose(number, t * steps, rtol=0, atol=1e-9):
        raise ValueError(f"times must be multiples of 1/{steps}, the step of time")
    values = np.empty(len(x))
    for step in np.unique(number):
        at = number == step
        values[at] = np.cos(math.pi * np.outer(x[at], np.arange(modes + 1))) @ cosines(modes, steps)[step]
    return values


@functools.lru_cache(maxsize=4)
def cosines(modes: int, steps: int) -> np.ndarray:
    """Coefficients of cos(kπx), k = 0 … modes, of the Allen-Cahn solution after 0, 1, …, `steps` steps to t = 1.

    It stays even. Galerkin's method in space, the cube free of aliasing; ETDRK4 in time.
    """
    size, k = 4 * modes, np.arange(modes + 1)

    def cubed(c: np.ndarray, _: float) -> np.ndarray:
        """Coefficients of -5u³, from those of u."""
        u = np.fft.irfft(np.concatenate([c[:1], c[1:] / 2]), size) * size
        spectrum = np.fft.rfft(-5 * u**3)[: modes + 1].real / size
        return np.concatenate([spectrum[:1], 2 * spectrum[1:]])

    start = (_moments(k + 1) + _moments(np.abs(k - 1))) / 2
    start[0] /= 2
    return Etdrk4(5 - DIFFUSION * (math.pi * k) ** 2, cubed, 1 / steps).march(start, steps, 1)


def _moments(m: np.ndarray) -> np.ndarray:
    """∫ x² cos(mπx) over (-1, 1)."""
    return np.where(m == 0, 2 / 3, 4 * (-1.0) ** m / (math.pi * np.maximum(m, 1)) ** 2)


def fronts(seed: int) -> Task:
    """u_t = ε u_xx + 5 (u - u³), ε = 1e-4, u(x, 0) = x² cos(πx), even and periodic: fronts at x = ±1/2, 0.006 wide.

    Even and periodic by the input cos(πx), so that half of the line is enough; points gather at its front. The form of
    u has what is known of it, so that the net adds only the rest of what diffusion does: the reaction alone, which
    turns v into u, and, in v, how heat rounds off the kink 2y that the starting value has at x = 1, y being the
    distance: y becomes y erf(y/w) + w exp(-y²/w²)/√π with w² = 4εt.
    u without the net and the slope of the kink are inputs too, and residuals have a weight exp(-5t), because an
    error where u = 0 grows as exp(5t).
    """
    s, t = domain.line(-1.0, 1.0, n=2000).over_time(0.0, 1.0).variable("interior")
    x, stretch = (each / 2 for each in gathered(s, 0.06))
    x = x + 0.5
    start, y, w = x**2 * tnp.cos(π * x), 2 / π * tnp.cos(π / 2 * x), tnp.sqrt(4 * DIFFUSION * t)
    slope = tnp.erf(y / w)
    rounded = start + 2 * (y * slope + w / math.sqrt(π) * tnp.exp(-((y / w) ** 2)) - y)

    def reacted(v: Node) -> Node:
        """u at t of u_t = 5 (u - u³) from v at 0."""
        return v * tnp.exp(5 * t) / tnp.sqrt(1 + v**2 * tnp.expm1(10 * t))

    net = nn.mlp(4, width=24, depth=3, key=seed)
    u = reacted(rounded + 0.02 * t * net(tnp.cos(π * x), reacted(rounded), slope**2, t))
    pde = u.d(t) - DIFFUSION * (u.d(s) / stretch).d(s) / stretch + 5 * u**3 - 5 * u
    at = evenly(seed)
    at[:, 1] = np.ceil(at[:, 1] * STEPS) / STEPS
    exact = solution(at[:, 0], at[:, 1])
    at[:, 0] = spread(2 * abs(at[:, 0]) - 1, 0.06)
    return Task({"pde": (tnp.sqrt(stretch) * tnp.exp(-5 * t) * pde).mse}, {"u": Answer(u, exact, at, {"x": x, "t": t})})


PROBLEMS = (
    LibraryProblem("allen-cahn", "u_t = 1e-4 u_xx + 5 (u - u³)", "Fourier series, ETDRK4", fronts, 250, 3e-5, 20, 3e-4),
)
