"""Answers the questions of data/examples in SQL and in polars, and compares the answers.

usage: python examples.py EXAMPLES EXPERIMENT
Without duckdb or polars it says so on standard error and compares nothing.
"""

import math
import pathlib
import re
import sys


def in_sql(path: pathlib.Path, experiment: str):
    """Question and rows of each statement."""
    import duckdb

    text = path.read_text().replace("out/shapes-bcos", experiment)
    blocks = re.findall(r"^-- (\d+)\. (.*?)\n(.*?);", text, re.MULTILINE | re.DOTALL)
    assert [int(number) for number, _, _ in blocks] == list(range(1, 11)), "ten questions, numbered"
    return [(question, duckdb.sql(statement).fetchall()) for _, question, statement in blocks]


def in_polars(path: pathlib.Path, experiment: str):
    namespace = {"__name__": "questions"}
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    return [(question, answer.rows()) for question, answer in namespace["questions"](experiment)]


def equal(one, other) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return one == other


def main() -> int:
    examples, experiment = pathlib.Path(sys.argv[1]), sys.argv[2]
    try:
        sql = in_sql(examples / "questions.sql", experiment)
        polars = in_polars(examples / "questions.py", experiment)
    except ImportError as error:
        print(f"examples: {error}; nothing was compared", file=sys.stderr)
        return 0
    assert len(sql) == len(polars) == 10, (len(sql), len(polars))
    for (question, one), (again, other) in zip(sql, polars):
        assert question == again, f"{question!r} is not {again!r}"
        assert one, f"{question} has no answer"
        same = len(one) == len(other) and all(
            len(a) == len(b) and all(map(equal, a, b)) for a, b in zip(one, other)
        )
        assert same, f"{question}\nSQL:    {one[:5]}\npolars: {other[:5]}"
    print(f"examples: {len(sql)} questions have equal answers in SQL and polars", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
