"""Kuramoto and Sivashinsky's and Korteweg and de Vries' equation on a circle: Fourier's series, ETDRK4."""

import numpy as np

from tangrax.problems.etdrk4 import Etdrk4

from .reference import Reference, difference

KS = (100 / 16, 100 / 16**2, 100 / 16**4)


def nonlinear(speed: float, k: np.ndarray, size: int):
    """Return -speed (u²/2)_x of a series, free of aliasing by `size` points."""

    def term(c: np.ndarray, _: float) -> np.ndarray:
        u = np.fft.irfft(c, size, norm="forward")
        return -speed / 2 * 1j * k * np.fft.rfft(u**2, norm="forward")[: len(k)]

    return term


def kuramoto_sivashinsky(modes: int, steps: int, times: int = 50) -> np.ndarray:
    """Return coefficients of exp(ikx), k = 0 … `modes`, at t = 0, 1/times, …, 1: u(x, 0) = cos(x) (1 + sin(x))."""
    α, β, γ = KS
    k = np.arange(modes + 1.0)
    start = np.zeros(modes + 1, complex)
    start[1], start[2] = 1 / 2, -1j / 4
    method = Etdrk4(β * k**2 - γ * k**4, nonlinear(α, k, 3 * modes + 3), 1 / steps)
    return method.march(start, steps, steps // times)


def korteweg_de_vries(modes: int, steps: int, times: int = 50) -> np.ndarray:
    """Return coefficients of exp(ikπx), k = 0 … `modes`, at t = 0, 1/times, …, 1: u(x, 0) = cos(πx)."""
    k = np.pi * np.arange(modes + 1)
    start = np.zeros(modes + 1, complex)
    start[1] = 1 / 2
    method = Etdrk4(0.022**2 * 1j * k**3, nonlinear(1, k, 3 * modes + 3), 1 / steps)
    return method.march(start, steps, steps // times)


def on_nodes(series: np.ndarray, count: int, first: float = 0.0) -> np.ndarray:
    """Return values at `count` even places of the period, time by time: (times, count).

    The first place is given as a share of the period.
    """
    k = np.arange(series.shape[1])
    waves = np.exp(2j * np.pi * np.outer(k, first + np.arange(count) / count))
    return np.real((np.where(k == 0, 1, 2) * series) @ waves)


def reference(series, modes: int, steps: int, lower: float, length: float, text: str) -> Reference:
    """Return values at 64 places and 50 times after the first; the error is by twice the step and 3/4 of the modes."""
    both = series(modes, steps), series(modes * 3 // 4, steps // 2)
    fine, coarse = (on_nodes(each, 64, lower / length)[1:] for each in both)
    x, t = np.meshgrid(lower + length * np.arange(64) / 64, np.arange(1, 51) / 50)
    at = np.column_stack([x.ravel(), t.ravel()])
    # Of order 4: the finer error is a sixteenth of the coarser one, if that of the modes is below both.
    return Reference(at, fine.reshape(-1, 1), difference(coarse, fine) / 15, f"Fourier, {modes} modes, {text}")


REFERENCES = {
    "pinnacle/ks": lambda: reference(kuramoto_sivashinsky, 256, 100_000, 0.0, 2 * np.pi, "ETDRK4, steps of 1e-5"),
    "dsgnar/korteweg-de-vries": lambda: reference(korteweg_de_vries, 256, 20_000, -1.0, 2.0, "ETDRK4, steps of 5e-5"),
}
