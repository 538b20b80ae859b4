"""The problems' equations in libraries where fields are expressions: jNO and Tangrax.

Each takes the fields, then the coordinates, then unknown coefficients by name, and returns its residuals.
"""

from collections.abc import Callable, Sequence
from typing import Any

from .facts import BURGERS_VISCOSITY, CAVITY_VISCOSITY, DIFFUSION_UNIT, heat_source


def equations(functions: Any) -> dict[str, Callable[..., list[Any]]]:
    """Return the equations by problem, with a library's sine and its like."""

    def burgers(fields: Sequence[Any], x: Any, t: Any) -> list[Any]:
        (u,) = fields
        return [u.d(t) + u * u.d(x) - BURGERS_VISCOSITY * u.d2(x)]

    def cavity(fields: Sequence[Any], x: Any, y: Any) -> list[Any]:
        return flow(fields, x, y, CAVITY_VISCOSITY)

    def pinv(fields: Sequence[Any], x: Any, y: Any) -> list[Any]:
        u, a = fields
        return [a.d(x) * u.d(x) + a.d(y) * u.d(y) + a * u.laplacian(x, y) + heat_source(x, y, functions)]

    def reaction(fields: Sequence[Any], x: Any, t: Any, rate: Any, diffusion: Any) -> list[Any]:
        a, b = fields
        consumed, spread = rate * a * b**2, DIFFUSION_UNIT * diffusion
        return [a.d(t) - spread * a.d2(x) + consumed, b.d(t) - spread * b.d2(x) + 2 * consumed]

    def wake(fields: Sequence[Any], x: Any, y: Any, t: Any, convection: Any, viscosity: Any) -> list[Any]:
        u, v, _ = fields
        along, across, mass = flow(fields, x, y, viscosity, convection)
        return [along + u.d(t), across + v.d(t), mass]

    return {each.__name__: each for each in (burgers, cavity, pinv, reaction, wake)}


def flow(fields: Sequence[Any], x: Any, y: Any, viscosity: Any, convection: Any = 1.0) -> list[Any]:
    u, v, p = fields
    return [
        convection * (u * u.d(x) + v * u.d(y)) + p.d(x) - viscosity * u.laplacian(x, y),
        convection * (u * v.d(x) + v * v.d(y)) + p.d(y) - viscosity * v.laplacian(x, y),
        u.d(x) + v.d(y),
    ]
