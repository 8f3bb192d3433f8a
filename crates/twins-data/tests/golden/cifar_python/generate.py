"""Writes CIFAR's pickled form, a few images each: the bytes that Python 2 wrote for the published files.

    python3 generate.py        (Python 3.11, NumPy)

Python 2 wrote text as byte strings and named NumPy's module numpy.core; the pickler below does the same. `modern`
holds a batch as Python 3 pickles it (protocol 4), for copies that were saved again.
"""

import pickle
from pathlib import Path

import numpy

HERE = Path(__file__).parent


class Python2Pickler(pickle._Pickler):
    dispatch = pickle._Pickler.dispatch.copy()

    def save_text(self, text):
        data = text if isinstance(text, bytes) else text.encode("latin1")
        if len(data) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(data)]) + data)
        else:
            self.write(pickle.BINSTRING + len(data).to_bytes(4, "little") + data)
        self.memoize(text)

    dispatch[bytes] = dispatch[str] = save_text

    def save_global(self, thing, name=None):
        module = thing.__module__.replace("numpy._core", "numpy.core")
        self.write(pickle.GLOBAL + f"{module}\n{thing.__name__}\n".encode())
        self.memoize(thing)

    dispatch[type] = dispatch[type(save_text)] = save_global


def images(first, count):
    index = numpy.arange(first * 3072, (first + count) * 3072, dtype=numpy.int64)
    return (index * 7 % 251).astype(numpy.uint8).reshape(count, 3072)


def write(path, value):
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        Python2Pickler(file, 2).dump(value)


def main():
    ten = HERE / "cifar-10-batches-py"
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    for batch in range(5):
        write(
            ten / f"data_batch_{batch + 1}",
            {
                "batch_label": f"training batch {batch + 1} of 5",
                "labels": [batch + 3],
                "data": images(batch, 1),
                "filenames": [f"image_{batch}.png"],
            },
        )
    test = {
        "batch_label": "testing batch 1 of 1",
        "labels": [9, 0],
        "data": images(5, 2),
        "filenames": ["a.png", "b.png"],
    }
    write(ten / "test_batch", test)
    write(ten / "batches.meta", {"num_cases_per_batch": 10000, "label_names": names, "num_vis": 3072})

    hundred = HERE / "cifar-100-python"
    write(
        hundred / "test",
        {
            "filenames": ["a.png", "b.png"],
            "batch_label": "testing batch 1 of 1",
            "fine_labels": [99, 0],
            "coarse_labels": [13, 4],
            "data": images(7, 2),
        },
    )
    write(
        hundred / "meta",
        {
            "fine_label_names": [f"fine {index}" for index in range(100)],
            "coarse_label_names": [f"coarse {index}" for index in range(20)],
        },
    )

    modern = HERE / "modern"
    modern.mkdir(exist_ok=True)
    (modern / "test_batch").write_bytes(pickle.dumps(test, protocol=4))


if __name__ == "__main__":
    main()
