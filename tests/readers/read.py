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


def tensors(directory):
    """The names and sizes of the table's tensor columns, from their Arrow type."""
    import pyarrow
    import pyarrow.dataset as dataset

    schema = dataset.dataset(directory, format="parquet").schema
    return {field.name: field.type.list_size for field in schema if pyarrow.types.is_fixed_size_list(field.type)}


def arrays_by_pyarrow(directory, column):
    import pyarrow.dataset as dataset

    values = dataset.dataset(directory, format="parquet").to_table(columns=[column])[column]
    return values.combine_chunks().flatten().to_numpy()


def arrays_by_pandas(directory, column):
    import numpy
    import pandas

    return numpy.concatenate(pandas.read_parquet(directory, columns=[column])[column].to_list())


def arrays_by_polars(directory, column):
    import polars

    return polars.read_parquet(directory / "*.parquet", columns=[column])[column].to_numpy().reshape(-1)


def arrays_by_duckdb(directory, column):
    import duckdb
    import numpy

    rows = duckdb.sql(f"select \"{column}\" from '{directory}/*.parquet'").fetchnumpy()[column]
    return numpy.concatenate([numpy.asarray(row) for row in rows])


def check_arrays(directory, present) -> bool:
    """Whether every reader turns the tensor columns into the same float32 arrays of the declared size."""
    import numpy

    for column, size in tensors(directory).items():
        arrays = {name: ARRAYS[name](directory, column) for name in present}
        first = next(iter(arrays.values()))
        for name, array in arrays.items():
            if array.size % size or array.dtype != numpy.float32 or not numpy.array_equal(array, first):
                print(f"{directory}: {name} reads {column} as {array.dtype} {array.shape}", file=sys.stderr)
                return False
    return True


ARRAYS = {
    "pyarrow": arrays_by_pyarrow,
    "pandas": arrays_by_pandas,
    "polars": arrays_by_polars,
    "duckdb": arrays_by_duckdb,
}

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
        # Arrays need numpy, which pandas brings; which columns are tensors is read from the Arrow schema.
        empty = all(rows == 0 for rows, _ in answers.values())
        if not empty and {"pyarrow", "pandas"} <= present.keys() and not check_arrays(directory, present):
            return 1
    print(f"readers: {len(tables(out))} tables read by {', '.join(present) or 'none'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
