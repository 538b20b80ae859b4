"""The one rule for names that are given to terms, trackers, fields, networks, parameters and tags."""

LONGEST = 200  # characters: room for any name, and for what is put beside it in a file's own


def fault(name: str) -> str | None:
    """Why a text is no name; None where it is one: printable, as Python counts, and neither blank nor endless."""
    if not name.strip():
        return "it has no characters that are seen"
    if len(name) > LONGEST:
        return f"it has {len(name)} characters, {LONGEST} at most"
    # Files cut names at NUL, half a surrogate pair has no encoding, a terminal obeys control characters.
    odd = next((character for character in name if not character.isprintable()), None)
    return None if odd is None else f"{odd!r} cannot be printed"


def checked_name(where: str, name: object) -> str:
    """A name as it was given. Raises TypeError for what is no text, ValueError for one that breaks the rule."""
    if not isinstance(name, str):
        raise TypeError(f"{where}: {name!r} is no name: give a text such as 'u'")
    if (why := fault(name)) is not None:
        short = name if len(name) <= LONGEST else f"{name[:20]}…"
        raise ValueError(
            f"{where}: {short!r} is no name: {why}. Give letters, digits and signs, such as 'u' or '∂u/∂x'"
        )
    return name


FORMULAS = "=+-@＝＋－＠"  # what spreadsheets take for the beginning of a formula, in full width too


def column_name(name: str) -> str:
    """A name as the head of a column: with an apostrophe before what a spreadsheet would compute, or run."""
    return f"'{name}" if name.lstrip().startswith(tuple(FORMULAS)) else name
