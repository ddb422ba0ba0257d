"""Ten questions to the tables of an experiment, in polars. The same in SQL: questions.sql. A test holds both equal.

usage: python data/examples/questions.py out/shapes-bcos
"""

import sys

import polars as pl


def questions(experiment: str) -> list[tuple[str, pl.DataFrame]]:
    """Each question with its answer."""
    scores = pl.scan_parquet(f"{experiment}/evaluate/*.parquet")
    probes = pl.scan_parquet(f"{experiment}/probe/*.parquet")
    predictions = pl.scan_parquet(f"{experiment}/probe.predictions/*.parquet")
    value, grid = pl.col("value"), scores.filter(pl.col("metric") == "grid_pointing_game")
    smoothed = grid.filter(pl.col("variant") == "reference")
    of_probes = pl.col("probe_id") != "control"
    plain = (pl.col("head") == "linear") & (pl.col("offset") == "none")

    def linear(loss: str) -> pl.LazyFrame:
        return smoothed.filter(plain & (pl.col("loss") == loss) & pl.col("probe_id").str.starts_with("linear-"))

    key = ["item", "target_index", "method", "seed"]
    pairs = linear("bce").join(linear("ce").select(*key, before="value"), on=key)
    gain = value - pl.col("before")

    oracle = smoothed.filter(~of_probes).select(
        "item", "target_index", control=pl.col("method"), ceiling=value
    )
    below = smoothed.filter(of_probes).with_columns(control=pl.lit("oracle:") + pl.col("method"))
    wrong = pl.col("predicted") != pl.col("label")

    answers = {
        "How well does each method point at its target, under each loss?": smoothed.filter(plain)
        .group_by("method", "loss")
        .agg(points=value.mean(), maps=value.count())
        .sort("method", "loss"),
        "Which scores are undefined, and why?": scores.filter(value.is_null())
        .group_by("metric", "reason")
        .agg(maps=pl.len())
        .sort("metric", "reason"),
        "By how much does BCE beat CE on the same maps?": pairs.group_by("method")
        .agg(gain=gain.mean(), pairs=gain.count())
        .sort("method"),
        "Which five maps point worst?": smoothed.filter(of_probes & value.is_not_null())
        .select("item", "target_index", "probe_id", "method", "value")
        .sort("value", "item", "target_index", "probe_id", "method")
        .head(5),
        "How far is each method from the best that its smoothing allows?": below.join(
            oracle, on=["item", "target_index", "control"]
        )
        .group_by("method")
        .agg(points=value.mean(), ceiling=pl.col("ceiling").mean())
        .sort("method"),
        "Which classes are hardest to point at?": smoothed.filter(of_probes)
        .group_by("target_class")
        .agg(points=value.mean())
        .sort("target_class"),
        "Does the place in the grid matter?": grid.filter(of_probes & (pl.col("variant") == "none"))
        .group_by("grid_size", "target_index")
        .agg(points=value.mean())
        .sort("grid_size", "target_index"),
        "How accurate is each probe, and how sure where it is wrong?": predictions.group_by("probe_id")
        .agg(accuracy=(~wrong).mean(), confidence_when_wrong=pl.col("probability").cast(pl.Float64).filter(wrong).mean())
        .sort("probe_id"),
        "Do more accurate probes point better?": smoothed.join(probes, on="probe_id")
        .group_by("probe_id")
        .agg(accuracy=pl.col("test_accuracy").first(), points=value.mean())
        .sort("probe_id"),
        "How much does the smoothing before scoring change the score?": grid.filter(of_probes)
        .group_by("method")
        .agg(
            change=value.filter(pl.col("variant") == "reference").mean()
            - value.filter(pl.col("variant") == "none").mean()
        )
        .sort("method"),
    }
    return [(question, answer.collect()) for question, answer in answers.items()]


if __name__ == "__main__":
    for at, (question, answer) in enumerate(questions(sys.argv[1]), 1):
        print(f"{at}. {question}\n{answer}\n")
