"""Names of the columns of tables."""

FORMULAS = "=+-@＝＋－＠"  # what spreadsheets take for the beginning of a formula, in full width too


def column_name(name: str) -> str:
    """A name as the head of a column: with an apostrophe before what a spreadsheet would compute, or run."""
    return f"'{name}" if name.lstrip().startswith(tuple(FORMULAS)) else name
