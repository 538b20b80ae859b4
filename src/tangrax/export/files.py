"""Files of `solver.export`: the suffix says the format."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

from ..checkpoint.atomic_files import atomic_write, refuse_unwritable
from ..expr import Trainable
from ..jacobian import Evaluator
from .arguments import ExportedFields
from .exported_function import Function
from .field_values import Values, rows_of
from .formats import check_vtk, library, write_csv, write_npz, write_vtk
from .parameters import by_name

FUNCTION, ARRAYS, TABLE, VTK = ".jax", ".npz", ".csv", (".vtu", ".vtk")

Write = Callable[[IO[bytes]], Any]


def export(
    path: str | Path, fields: Any, points: Any, cells: Any, evaluator: Evaluator, names: Mapping[Trainable, str]
) -> None:
    """Write a function of points, values at points, or the parameters of all `names`: all compute, the first writes.

    Raises before anything is computed where the arguments do not go together; a file at `path` stays until the new one
    is complete.
    """
    path = Path(path)
    _check(path, fields, points, cells)
    transport = evaluator.transport
    transport.first_writes("the exported file", partial(refuse_unwritable, path, "export to"))
    if fields is None:
        write = _parameters(evaluator, names)
    elif path.suffix == FUNCTION:
        write = _function(fields, evaluator)
    else:
        write = _values(path.suffix, fields, points or {}, cells, evaluator)

    def written() -> None:
        with atomic_write(path) as file:
            write(file)

    transport.first_writes("the exported file", written)


def _parameters(evaluator: Evaluator, names: Mapping[Trainable, str]) -> Write:
    arrays = by_name({name: evaluator.parameters(trainable) for trainable, name in names.items()})
    return lambda file: write_npz(file, arrays)


def _function(fields: Any, evaluator: Evaluator) -> Write:
    library("flatbuffers", "export")
    function = Function.of(ExportedFields.of(fields), evaluator)
    return lambda file: file.write(function.serialized())


def _values(suffix: str, fields: Any, points: Mapping[str, Any], cells: Any, evaluator: Evaluator) -> Write:
    exported = ExportedFields.of(fields)
    for name in exported.fields:
        if name in exported.axes:
            raise ValueError(f"export: a field and a coordinate would both be called '{name}': rename the field")
    if suffix in VTK:
        check_vtk(exported.fields, cells, len(rows_of(exported, points, evaluator)))
    values = Values.of(exported, points, evaluator)
    if suffix == TABLE:
        return lambda file: write_csv(file, values.columns)
    if suffix == ARRAYS:
        return lambda file: write_npz(file, values.arrays)
    return lambda file: write_vtk(file, suffix[1:], values.places, values.point_data, cells)


def _check(path: Path, fields: Any, points: Any, cells: Any) -> None:
    """Raise for unknown suffixes, and for arguments that the kind of file has no use for."""
    known = (FUNCTION, TABLE, ARRAYS, *VTK)
    if path.suffix not in known:
        raise ValueError(
            f"export to '{path.name}': '{path.suffix}' does not say what to write. Choose {FUNCTION} (a function of "
            f"points), {TABLE}, {ARRAYS}, {VTK[0]} or {VTK[1]} (values at points), or {ARRAYS} without fields "
            f"(parameters)"
        )
    if fields is None and path.suffix != ARRAYS:
        raise ValueError(f"export to '{path.name}': of what fields? Without fields, parameters are written to {ARRAYS}")
    if points and (fields is None or path.suffix == FUNCTION):
        what = "parameters have" if fields is None else "a function has"
        raise ValueError(f"export(points=…) to '{path.name}': {what} no points; values are written to {TABLE}")
    if cells is not None and path.suffix not in VTK:
        raise ValueError(f"export(cells=…) to '{path.name}': only {' and '.join(VTK)} have cells")
