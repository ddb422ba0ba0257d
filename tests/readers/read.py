"""Opens every table under a directory with each reader that is installed, and compares what they see.

usage: python read.py OUT
A reader that is not installed is named on standard error and skipped; one that is installed must read everything.
"""

import importlib
import json
import pathlib
import sys


def tables(out: pathlib.Path):
    """The directory of every finished table."""
    seen = sorted({part.parent for part in out.rglob("*.parquet") if not part.parent.name.startswith(".")})
    assert seen, f"{out}: no tables"
    return seen


def by_pyarrow(directory):
    import pyarrow.dataset as dataset

    table = dataset.dataset(directory, format="parquet").to_table()
    return table.num_rows, table.column_names


def by_pandas(directory):
    import pandas

    frame = pandas.read_parquet(directory)
    return len(frame), list(frame.columns)


def by_polars(directory):
    import polars

    frame = polars.read_parquet(directory / "*.parquet")
    return frame.height, frame.columns


def by_duckdb(directory):
    import duckdb

    relation = duckdb.sql(f"select * from '{directory}/*.parquet'")
    return len(relation.fetchall()), relation.columns


READERS = {
    "pyarrow": (by_pyarrow, ["pyarrow"]),
    "pandas": (by_pandas, ["pandas", "pyarrow"]),
    "polars": (by_polars, ["polars"]),
    "duckdb": (by_duckdb, ["duckdb"]),
}


def installed(modules) -> bool:
    try:
        for module in modules:
            importlib.import_module(module)
    except ImportError:
        return False
    return True


def main() -> int:
    out = pathlib.Path(sys.argv[1])
    present = {name: read for name, (read, needs) in READERS.items() if installed(needs)}
    absent = [name for name in READERS if name not in present]
    if absent:
        print(f"readers: not installed, so not tried: {', '.join(absent)}", file=sys.stderr)
    for directory in tables(out):
        answers = {name: read(directory) for name, read in present.items()}
        distinct = {json.dumps([rows, list(columns)]) for rows, columns in answers.values()}
        if len(distinct) > 1:
            print(f"{directory}: readers do not agree: {answers}", file=sys.stderr)
            return 1
    print(f"readers: {len(tables(out))} tables read by {', '.join(present) or 'none'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
