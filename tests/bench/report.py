"""Seconds and memory of a report of many score rows: an experiment's own, copied under other probes' names.

usage: python tests/bench/report.py out/shapes-bcos [--rows 1000000] [--probes N] [--program PATH] [--keep DIR]
Needs pyarrow, numpy and blake3, and `make` to have run once. Copies of a probe have its scores with some noise. With --keep the
report stays in DIR/report, to be looked at; images for its maps are taken from beside the experiment.
"""

import argparse
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import tempfile
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from blake3 import blake3
from machine import processor

ROOT = pathlib.Path(__file__).parents[2]


def read(directory):
    return pa.concat_tables([pq.read_table(part) for part in sorted(directory.glob("part-*.parquet"))])


def renamed(table, copy, noise):
    """The rows under other probes' names; controls stay those of the experiment."""
    ids = [name if name == "control" else re.sub(r"(-s\d+)", rf"\1-copy{copy:03}", name) for name in table["probe_id"].to_pylist()]
    kept = table.set_column(table.schema.get_field_index("probe_id"), table.schema.field("probe_id"), pa.array(ids))
    kept = kept.filter(pa.array([name != "control" for name in ids]))
    for column in noise:
        values = kept[column].to_numpy(zero_copy_only=False).astype(float)
        shaken = np.clip(values + 0.02 * np.random.default_rng(copy).normal(size=len(values)), 0, None)
        kept = kept.set_column(kept.schema.get_field_index(column), kept.schema.field(column), pa.array(shaken, from_pandas=True))
    return kept


def multiply(source, target, artifact, noise, copies):
    """Writes the artifact with `copies` more sets of probes: each table one part."""
    manifest = json.loads((source / f"{artifact}.manifest.json").read_text())
    rows = 0
    for name, entry in manifest["tables"].items():
        table = read(source / name)
        if "probe_id" in table.column_names:
            columns = [column for column in noise if column in table.column_names]
            table = pa.concat_tables([table, *(renamed(table, copy, columns) for copy in range(copies))])
        (target / name).mkdir()
        file = target / name / "part-00000-of-00001.parquet"
        first = next(iter(sorted((source / name).glob("part-*.parquet"))))
        metadata = {k: v for k, v in pq.read_metadata(first).metadata.items() if k != b"ARROW:schema"}
        pq.write_table(table.replace_schema_metadata(metadata), file, compression="zstd")
        entry.update(rows=table.num_rows)
        content = {"bytes": file.stat().st_size, "blake3": blake3(file.read_bytes()).hexdigest()}
        entry["parts"] = [{**entry["parts"][0], **content, "file": file.name, "rows": table.num_rows}]
        rows = table.num_rows if name == "evaluate" else rows
    # The copies were made from nothing that lies beside them.
    manifest["inputs"] = []
    (target / f"{artifact}.manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("experiment", type=pathlib.Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--probes", type=int)
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "target/release/report")
    parser.add_argument("--keep", type=pathlib.Path)
    given = parser.parse_args()
    source = given.experiment.resolve()
    place = (given.keep or pathlib.Path(tempfile.mkdtemp())).resolve()
    if source.is_relative_to(place):
        parser.error(f"--keep {place} has the experiment in it; give another directory")
    target = place / source.name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for entry in source.iterdir():
        if not re.match(r"(evaluate|probe)(\.|$)", entry.name):
            os.symlink(entry, target / entry.name)
    scores, probes = read(source / "evaluate"), read(source / "probe")
    copies = -(-given.probes // probes.num_rows) - 1 if given.probes else -(-given.rows // scores.num_rows) - 1
    rows = multiply(source, target, "evaluate", ["value"], copies)
    multiply(source, target, "probe", ["test_accuracy"], copies)
    images = source.parent / "shapes/images"
    pictures = f'images = "{images}"\n' if given.keep and images.is_dir() else ""
    (place / "report.toml").write_text(f'[report]\nexperiments = ["{target}"]\n{pictures}')
    since = time.perf_counter()
    words = [given.program, "--config", place / "report.toml", "--out", place / "report"]
    subprocess.run(words, check=True)
    wall, used = time.perf_counter() - since, resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{processor()}: {rows} score rows of {probes.num_rows * (copies + 1)} probes")
    print("\n| rows | wall, s | CPU, s | most memory, MiB |\n|---|---|---|---|")
    print(f"| {rows} | {wall:.1f} | {used.ru_utime + used.ru_stime:.1f} | {used.ru_maxrss / 1024:.0f} |")
    if not given.keep:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
