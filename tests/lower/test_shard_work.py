"""The shard rule: points are split, each device does its share, one all-reduce a step; any N on any D."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from marks import slow_but
from programs import collectives, eval_program, flops, training_program

import tangrax as tx


def poisson(count=1000, width=16, boundary=True):
    domain = tx.domain.line(mesh_size=1 / (count + 1))
    x, _ = domain.variable("interior")
    xb, _ = domain.variable("boundary")
    net = tx.nn.mlp(1, width=width, depth=2)
    u = net(x)
    pde = -u.d2(x) - tx.np.sin(tx.np.pi * x)
    terms = [pde.mse, 10 * net(xb).mse] if boundary else [pde.mse]
    return terms, u, pde, net, x


def solver_of(terms, devices, **more):
    return tx.core(terms, optimizer=optax.adam(1e-3), devices=devices, dtype="float64", **more)


@pytest.mark.parametrize("k", slow_but([2, 4, 8], 2))
def test_each_device_does_its_share(k):
    """Rows per device are ceil(N/D), FLOPs at most 1.1/D of one device's: in training, eval and rows."""
    terms, u, pde, net, _ = poisson()
    one, several = solver_of(terms[:1], 1), solver_of(terms[:1], k)
    ratio = flops(training_program(several)) / flops(training_program(one))
    assert ratio <= 1.1 / k, f"training: {ratio:.4f} of one device's FLOPs on {k}"
    for nodes in ([pde], [u.grad(net)], [pde.mse.grad(net)], [pde.mse]):
        ratio = flops(eval_program(several, nodes)) / flops(eval_program(one, nodes))
        assert ratio <= 1.1 / k, f"{nodes}: {ratio:.4f} of one device's FLOPs on {k}"
    rows = several.eval(u.grad(net), sharded=True)
    assert {s.data.shape[0] for s in rows.padded.addressable_shards} == {-(-1000 // k)}
    assert len({s.device for s in rows.padded.addressable_shards}) == k
    for placed in several.training.loop.points.rows.values():
        assert {s.data.shape[0] for s in placed.addressable_shards} == {-(-1000 // k)}


CALLS = {
    "weighted means": (lambda u, x, ub: [u.mse, 10 * ub.mse], {"all-reduce": 1}),
    "groups": (lambda u, x, ub: [u[x < 0.3].mse + 2 * u[x > 0.7].mae, ub.mse], {"all-reduce": 1}),
    "ratio of means": (lambda u, x, ub: [u.mse / (1 + ub.mse)], {"all-reduce": 1}),
    "std": (lambda u, x, ub: [u.std], {"all-reduce": 2}),
    "centred": (lambda u, x, ub: [(u - u.mean).mse], {"all-reduce": 2}),
    "max": (lambda u, x, ub: [u.max**2], {"all-reduce": 1, "all-gather": 1}),
    "opaque": (lambda u, x, ub: [tx.np.function(lambda v: jnp.mean(v**2), [u])], {"all-reduce": 1, "all-gather": 1}),
}


@pytest.mark.parametrize("name", CALLS)
def test_communication_of_a_step(name):
    """Collectives of every kind in the compiled training program, against the table in docs/parallel.md."""
    domain = tx.domain.line(mesh_size=0.1)
    x, _ = domain.variable("interior")
    xb, _ = domain.variable("boundary")
    net = tx.nn.mlp(1, width=4, depth=1)
    make, expected = CALLS[name]
    solver = solver_of(make(net(x), x, net(xb)), 4)
    assert collectives(training_program(solver)) == expected


def test_a_step_sums_p_plus_terms_numbers():
    terms, *_, net, _ = poisson(50, width=4)
    program = training_program(solver_of(terms, 4))
    size = sum(leaf.size for leaf in jax.tree.leaves(net.params))
    line = next(line for line in program.as_text().splitlines() if " all-reduce" in line)
    assert f"f64[{size + 2}]" in line, line


def test_means_of_groups_need_no_rows():
    """One product a group, one all-reduce for all of them, and no array of N x P."""
    terms, u, _, net, x = poisson(333)
    J = u.grad(net)
    program = eval_program(solver_of(terms, 4), [tx.np.cosine([J[x < 0.3].mean, J[x > 0.6].mean, J.mean])])
    # The number of points of each group is summed in the same round.
    assert collectives(program) == {"all-reduce": 1}
    size = sum(leaf.size for leaf in jax.tree.leaves(net.params))
    assert f"f64[84,{size}]" not in program.as_text()


@pytest.mark.parametrize("count", [1, 2, 7, 9])
@pytest.mark.parametrize("k", [1, 3, 8])
def test_any_number_of_points(count, k):
    """N in {1, 2, D - 1, D + 1}, and a residual that is singular outside the domain."""
    _, u, pde, net, x = poisson(count, width=4, boundary=False)
    points = np.arange(1, count + 1) / (count + 1)
    singular = u / tx.np.sqrt(x) + tx.np.log(1 - x)  # not finite at 0 and 1, where padding might be put
    first, every = x < 1.5 / (count + 1), x > 0
    solver = solver_of([singular.mse, pde[first].mse], k)
    value, group, rows, mean, spread = solver.eval(
        [singular, pde[first].mse, u.grad(net), singular.grad(net)[every].mean, singular.std]
    )
    assert value.shape == (count,) and rows.shape == (count, sum(a.size for a in jax.tree.leaves(net.params)))
    layers = [*net.module.layers, net.module.output_layer]

    def plain(s):
        h = jnp.array([s])
        for layer in layers[:-1]:
            h = jnp.tanh(layer.weight @ h + layer.bias)
        return (layers[-1].weight @ h + layers[-1].bias)[0]

    exact = jax.vmap(plain)(points) / np.sqrt(points) + np.log(1 - points)
    np.testing.assert_allclose(value, exact, rtol=1e-12)
    np.testing.assert_allclose(spread, np.std(exact), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(
        group, (jax.grad(jax.grad(plain))(points[0]) + np.sin(np.pi * points[0])) ** 2, rtol=1e-12
    )
    np.testing.assert_allclose(mean, (rows / np.sqrt(points)[:, None]).mean(axis=0), rtol=1e-12)
    solver.solve(5, progress=False)
    np.testing.assert_allclose(solver.history["mse_0"][0], np.mean(exact**2), rtol=1e-12)
    assert np.isfinite(solver.history["loss"]).all()


@pytest.mark.parametrize("k", [3])
def test_chunks_change_nothing_but_rounding(k):
    """Points in chunks within a memory limit: the same training, and still one all-reduce."""
    results = []
    for limit in (2**30, 40_000):
        terms, u, pde, net, x = poisson(101, width=4)
        tracked = tx.np.function(lambda J: J.T @ J, [u.grad(net)]).tracker(4, name="dual")
        peak = pde.max.tracker(3, name="peak")
        solver = solver_of([*terms, (u - u.std).mse, tracked, peak], k, memory_limit=limit)
        solver.solve(9, progress=False)
        results.append((solver, solver.eval([pde, u.grad(net), pde.grad(net)[x < 0.2].mean])))
        chunked = "while" in eval_program(solver, [pde.mse.grad(net)]).as_text()
        assert chunked == (limit < 2**20)
    (whole, a), (chunks, b) = results
    for name in whole.history:
        np.testing.assert_allclose(chunks.history[name], whole.history[name], rtol=1e-11, atol=1e-14)
    for x_, y_ in zip(a, b, strict=True):
        np.testing.assert_allclose(y_, x_, rtol=1e-11, atol=1e-13)
    small = poisson(101, width=6)[0]
    assert collectives(training_program(solver_of(small, 4, memory_limit=40_000))) == {"all-reduce": 1}


def test_a_mask_saves_the_work():
    """Only the selected leaves are differentiated: seen in the FLOPs of the compiled tracker."""
    terms, _, pde, net, _ = poisson(400, width=32)
    chosen = jax.tree.map(lambda _: False, net.params)
    chosen = eqx_output(chosen)
    solver = solver_of(terms, 2)
    whole = flops(eval_program(solver, [pde.mse.grad(net)]))
    masked = flops(eval_program(solver, [pde.mse.grad(net.mask(chosen))]))
    value = flops(eval_program(solver, [pde.mse]))
    assert masked - value < 0.5 * (whole - value)
    rows_whole = flops(eval_program(solver, [pde.grad(net)]))
    rows_masked = flops(eval_program(solver, [pde.grad(net.mask(chosen))]))
    assert rows_masked < 0.6 * rows_whole


def eqx_output(tree):
    import equinox as eqx

    return eqx.tree_at(lambda m: m.output_layer.weight, tree, True)


def test_no_host_callback():
    terms, u, *_ = poisson(50)
    solver = solver_of([*terms, u.std.tracker(2)], 4)
    targets = re.findall(r'custom_call_target="([^"]*)"', training_program(solver).as_text())
    assert not [target for target in targets if "callback" in target]


def test_many_terms_are_reduced_as_one(devices):
    """Means of (kx - i)² over all points and over x > 1/2, and their slope in k, by hand; no reduction a term."""

    def solver(count):
        x, _ = tx.domain.line(mesh_size=1 / 14).variable("interior")
        k = tx.nn.parameter(0.5, name="k")
        fields = [k * x - i for i in range(count)]
        terms = {f"all {i}": field.mse for i, field in enumerate(fields)}
        terms |= {f"half {i}": field[x > 0.5].mse for i, field in enumerate(fields)}
        return tx.core(terms, optimizer=optax.sgd(1e-4), devices=devices, dtype="float64"), k

    many, k = solver(33)
    many.solve(1, progress=False)
    x, i = np.arange(1, 14)[:, None] / 14, np.arange(33)
    upper = x[x[:, 0] > 0.5]
    for where, at in (("all", x), ("half", upper)):
        result = [float(many.history[f"{where} {number}"][0]) for number in i]
        assert np.allclose(result, np.mean((0.5 * at - i) ** 2, axis=0), rtol=1e-13)
    slope = sum(np.sum(np.mean(2 * at * (0.5 * at - i), axis=0)) for at in (x, upper))
    assert np.isclose(many.eval(k), 0.5 - 1e-4 * slope, rtol=1e-13)
    few, more = (training_program(solver(count)[0]).as_text().count(" reduce(") for count in (33, 43))
    assert more <= few + 5
