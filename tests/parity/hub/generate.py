"""A table of images as Hugging Face's `datasets` writes it to the hub: struct of bytes and path, ClassLabel in the footer.

Five pictures of 2 classes in row groups of 2, one of them without bytes, one cut off; class names have commas, as
ImageNet's have. Needs pyarrow, pillow and numpy. Run: python generate.py
"""

import io
import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

HERE = pathlib.Path(__file__).parent


def picture(seed: int, kind: str) -> bytes:
    values = (np.arange(20 * 30 * 3).reshape(20, 30, 3) * (seed + 3)) % 256
    stream = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(stream, kind)
    return stream.getvalue()


def main() -> None:
    images = [{"bytes": picture(i, "PNG" if i % 2 else "JPEG"), "path": f"n{i:08}_{i}.JPEG"} for i in range(5)]
    images[2]["bytes"] = None
    images[3]["bytes"] = images[3]["bytes"][:100]
    labels = [1, 0, 1, 0, 1]
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {
        "image": {"_type": "Image"},
        "label": {"names": ["tench, Tinca tinca", "goldfish"], "_type": "ClassLabel"},
    }
    schema = pa.schema(
        [("image", struct), ("label", pa.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    table = pa.table([pa.array(images, struct), pa.array(labels, pa.int64())], schema=schema)
    pq.write_table(table, HERE / "validation-00000-of-00001.parquet", row_group_size=2)


if __name__ == "__main__":
    main()
