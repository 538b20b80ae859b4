"""Losses taken apart into weighted residuals."""

import pytest

import tangrax as tx
from tangrax.optim.residuals import residuals_of

x, _ = tx.domain.line(n=12).variable("interior")
ends, _ = tx.domain.line(n=12).variable("boundary")
net = tx.nn.mlp(1, width=4, depth=1)
u, ub = net(x), net(ends)
left = x < 0.5


@pytest.mark.parametrize(
    "term, factors",
    [
        (u.mse, [1.0]),
        (3 * u.mse + ub.mse / 4, [3.0, 0.25]),
        (2 * (u.mse * 5 + 0.5 * u.d(x).mse).named("both"), [10.0, 1.0]),
        ((u**2).mean + (ub * ub).mean, [1.0, 1.0]),
        (7 * u[left].mse, [7.0]),
        (7 * (u**2)[left].mean, [7.0]),
    ],
)
def test_weights(term, factors):
    result = residuals_of({"all": term}, "gauss_newton")
    assert [residual.factor for residual in result] == factors
    assert all((residual.group is not None) == ("[" in str(term)) for residual in result)


@pytest.mark.parametrize(
    "term, part",
    [
        (u.mse + u.mae, ".mae"),
        (-1.0 * u.mse, "(-1"),
        (u.mse - ub.mse, "-"),
        (u.mean, ".mean"),
        ((u**3).mean, "** 3"),
        (u.mse**2, "** 2"),
        ((u - u.mean).mse, "a value of all points"),
        # Frozen it is a number, but one that may be negative; only weights that training sets are known not to be.
        (tx.nn.parameter(-1.0).freeze() * u.mse, "parameter *"),
    ],
)
def test_what_is_no_sum_of_squares(term, part):
    with pytest.raises(ValueError, match=r"spring: .*term 'odd'") as error:
        residuals_of({"pde": u.mse, "odd": term}, "spring")
    assert part in str(error.value)
