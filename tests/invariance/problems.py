"""Three problems whose results must not depend on how many devices and processes share the points.

Run as a script (`python problems.py OUT.npz`) by each process of a launch, it writes what this process got.
"""

import sys

import jax
import numpy as np
import optax

import tangrax as tx


def prime():
    """A prime number of points, groups, trackers, a boundary of two points."""
    domain = tx.domain.line(mesh_size=1 / 30)  # 29 points
    x, _ = domain.variable("interior")
    ends, _ = domain.variable("boundary")
    net = tx.nn.mlp(1, width=6, depth=2, key=0, name="net")
    u = net(x)
    pde = -u.d2(x) - tx.np.sin(tx.np.pi * x)
    J = u.grad(net)
    halves = tx.np.cosine([J[x < 0.3].mean, J[x > 0.8].mean, J.mean])
    terms = {
        "pde": pde.mse,
        "ends": 10 * net(ends).mse,
        "halves": halves.tracker(10),
        "conflict": tx.np.cosine(pde.mse.grad(net), net(ends).mse.grad(net)).tracker(7),
        "largest": pde.max.tracker(5),
    }
    return terms, [net], [u, pde[x < 0.3], J, J[x < 0.3].mean, pde.std]


def few():
    """Fewer points than shards, and a function of all of them."""
    domain = tx.domain.line(mesh_size=1 / 3)  # 2 points
    x, _ = domain.variable("interior")
    net = tx.nn.mlp(1, width=5, depth=1, key=1, name="net")
    u = net(x) * x
    spread = tx.np.function(lambda v: ((v - v.mean()) ** 2).sum(), [u])
    return {"fit": (u - x).mse, "spread": spread + (u - u.mean).mse}, [net], [u, u.grad(net), spread]


def pair():
    """Two networks and a trainable scalar over time, in low-discrepancy points."""
    domain = tx.domain.line(n=23).over_time(0.0, 1.0, initial=5)
    x, t = domain.variable("interior")
    x0, t0 = domain.variable("initial")
    first = tx.nn.mlp(2, width=4, depth=1, key=2, name="u")
    second = tx.nn.mlp(2, outputs=2, width=4, depth=1, key=3, name="v")
    k = tx.nn.parameter(0.5, name="k")
    u, v = first(x, t), second(x, t)
    heat = u.d(t) - k * u.d2(x) + v[0] * v[1]
    terms = {
        "heat": heat.mse,
        "start": (first(x0, t0) - tx.np.sin(tx.np.pi * x0)).mse,
        "tie": (v.d(x)[0] - u).mae,
        "k": k.tracker(10),
    }
    return terms, [first, second, k], [u, v, heat.grad(first, k), v.grad(second)[x < 0.5].mean]


PROBLEMS = {"prime": prime, "few": few, "pair": pair}


def results(devices=None):
    """Everything that must agree, by name."""
    result = {}
    for name, make in PROBLEMS.items():
        terms, nets, nodes = make()
        solver = tx.core(terms, optimizer=optax.adam(1e-2), devices=devices, dtype="float64")
        solver.solve(50, progress=False)
        for i, value in enumerate(solver.eval(nodes)):
            result[f"{name}/eval{i}"] = np.asarray(value)
        for key in solver.history:
            result[f"{name}/history/{key}"] = solver.history[key]
            result[f"{name}/epochs/{key}"] = solver.history.epochs(key)
        for net in nets:
            for i, leaf in enumerate(jax.tree.leaves(solver.module(net))):
                result[f"{name}/{net.trainable.name}/{i}"] = np.asarray(leaf)
        J = nodes[0].grad(nets[0])
        result[f"{name}/gram"], spectrum = solver.eval([J.gram(), J.spectrum()])
        result[f"{name}/singular"] = spectrum.singular_values
        rows = solver.eval(nodes[0], sharded=True)
        result[f"{name}/gathered"] = rows.gather()
        # Not compared, but looked at: what this process holds.
        result[f"local/{name}"] = np.array([len(rows.local), len(rows), solver.training.transport.size])
    return result | second_order(devices) | guided(devices)


def second_order(devices):
    """Losses of Gauss-Newton steps in a random subspace, in those of the start, and the dampings they chose."""
    terms, _, _ = prime()
    optimizer = tx.optim.gauss_newton(way="subspace", sketch=20)
    terms = {name: terms[name] for name in ("pde", "ends")}
    solver = tx.core(terms, optimizer=optimizer, devices=devices, dtype="float64").solve(20, progress=False)
    losses = solver.history["loss"]
    return {"second/loss": losses / losses[0], "second/damping": np.log10(solver.history["damping"])}


def guided(devices):
    """Balanced terms and points, updates without conflict, points that move."""
    domain = tx.domain.line(mesh_size=1 / 30)
    x, _ = domain.variable("interior")
    ends, _ = domain.variable("boundary")
    net = tx.nn.mlp(1, width=6, depth=2, key=0, name="net")
    pde = -net(x).d2(x) - tx.np.sin(tx.np.pi * x)
    solver = tx.core(
        {"pde": pde.mse, "ends": net(ends).mse},
        optimizer=optax.adam(1e-2),
        balance=[tx.optim.residual_attention("ends"), tx.optim.grad_norm(every=5)],
        conflict=tx.optim.pcgrad(every=7),
        resample=tx.optim.rad(pde, every=10, pool=100),
        devices=devices,
        dtype="float64",
    ).solve(25, progress=False)
    return {f"guided/{key}": value for key, value in solver.history.items()} | {"guided/points": solver.points(x)}


if __name__ == "__main__":
    tx.setup(dtype="float64")
    written = results()
    rank = tx.parallel.settings().launch.process
    np.savez(sys.argv[1].replace("RANK", str(rank)), **written)
