"""What tests of shapes share: points, fields at them, and sums over a boundary."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import tangrax as tx


def evaluated(fields, devices=1, dtype="float64"):
    """Fields at their points, one column each."""
    solver = tx.core([tx.nn.parameter(1.0) ** 2], optimizer=optax.sgd(1.0), devices=devices, dtype=dtype)
    return np.stack(solver.eval(list(fields)), axis=-1)


def coordinates(domain, tag="interior"):
    return domain.point_set(tag).coordinates[:, :-1]


def surface_of(shape, count):
    """Points that are evenly spread on the boundary of a shape: one in the middle of each of `count` equal parts."""
    uniform = np.random.default_rng(0).random((count, shape.dimension))
    uniform[:, 0] = (np.arange(count) + 0.5) / count
    return shape.surface(uniform)


def flux(shape, count=20000):
    """∮ x·n, d times the volume by the theorem of divergence; x from the middle of the shape."""
    edge = surface_of(shape, count)
    from_middle = edge.points - np.mean(shape.bounds, axis=0)
    return shape.extent * np.mean(np.where(edge.on_boundary, np.sum(from_middle * edge.normals, axis=1), 0))


def slopes(level, points, dtype):
    """The gradient of a level function at points, in a precision: in float32 with constants of float32 too."""
    with jax.enable_x64(dtype == "float64"):
        actual = jax.jit(jax.vmap(jax.grad(lambda x: level(x, jnp))))(jnp.asarray(points, dtype))
        assert actual.dtype == dtype
        return np.asarray(actual)
