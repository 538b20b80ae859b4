"""The problem that runs are stopped on, in tests and in the programs they start."""

import optax

import tangrax as tx

DOMAIN = tx.domain.line(n=40, seed=2)
X, _ = DOMAIN.variable("interior")


def make(how="plain", devices=1, width=8, optimizer=None, points=X, **more):
    """-u'' = π² sin πx on (0, 1), with what is steered and moved beside it."""
    net = tx.nn.mlp(1, width=width, depth=2, key=3)
    u = net(points) * points * (1 - points)
    pde = (u.d2(points) + tx.np.pi**2 * tx.np.sin(tx.np.pi * points)) / 10
    other = u - tx.np.sin(tx.np.pi * points)
    terms = {"pde": pde.mse, "fit": other.mse, "seen": other.mse.tracker(7)}
    if how == "watched":
        terms["rank"] = u.grad(net).spectrum(k=3).tracker(9)
    if how in ("moving", "growing"):
        rule = tx.optim.rad(pde, every=6, pool=100)
        more["resample"] = rule if how == "moving" else tx.optim.rar_d(pde, every=6, add=5, pool=100, most=55)
        more["balance"] = tx.optim.grad_norm(every=4)
    if how == "pointwise":
        more["balance"] = tx.optim.self_adaptive("pde")
    if how == "conditions first":
        more["balance"] = tx.optim.conditions_first(every=4)
    if how == "batches":
        more["batch"] = {"interior": 16}
    if how == "conflict":
        more["conflict"] = tx.optim.config()
    if how == "gauss_newton":
        optimizer, terms = tx.optim.gauss_newton(), {"pde": pde.mse, "seen": other.mse.tracker(7)}
    if how == "spring":
        optimizer, terms = tx.optim.spring(), {"pde": pde.mse, "seen": other.mse.tracker(7)}
    if how == "engd":
        optimizer, terms = tx.optim.engd(), {"pde": pde.mse, "seen": other.mse.tracker(7)}
    if how == "lbfgs":
        optimizer = optax.lbfgs()
    if how in ("self_scaled_broyden", "soap"):
        optimizer = getattr(tx.optim, how)()
    optimizer = optimizer or optax.adam(3e-3)
    return tx.core(terms, optimizer=optimizer, devices=devices, dtype="float64", **more)
