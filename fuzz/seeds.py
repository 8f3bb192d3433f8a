#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets, `corpus/TARGET`: small valid files of every form that a target reads.

    python3 fuzz/seeds.py

The first byte of a file often chooses what the rest of it is; the target says how.
"""

import gzip
import io
import json
import pickle
import shutil
import struct
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CRATES = HERE.parent / "crates"
DATA = CRATES / "twins-data/tests/golden"

# The largest seed: libFuzzer changes small inputs faster.
MOST_BYTES = 4096

# Entries of the network `mnist-cnn`, by the names of PyTorch and of Burn, and their shapes.
ENTRIES = [
    ("0.weight", "body.MnistCnn.conv1.weight", [16, 1, 4, 4]),
    ("0.bias", "body.MnistCnn.conv1.bias", [16]),
    ("7.bias", "body.MnistCnn.fc2.bias", [10]),
]


def size(shape):
    count = 4
    for length in shape:
        count *= length
    return count


def floats(shape):
    count = size(shape) // 4
    return struct.pack(f"<{count}f", *[(index % 17 - 8) / 16 for index in range(count)])


def seed(target, name, content):
    assert len(content) <= MOST_BYTES, f"{target}/{name} has {len(content)} bytes"
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def golden(path, which=None):
    content = (DATA / path).read_bytes()
    return content if which is None else bytes([which]) + content


def text(content, *choices):
    return bytes(choices) + content.encode()


class Global:
    """A function or class by its name, which need not exist here."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    """The call of a global."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments


class Storage:
    """The values of a tensor, which a file has outside its pickle."""

    def __init__(self, key, count):
        self.key, self.count = key, count


def opcodes(value):
    """The pickle of a value, without its header and end, in the opcodes that PyTorch writes."""
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, Global):
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, tuple):
        return b"(" + b"".join(map(opcodes, value)) + b"t"
    if isinstance(value, dict):
        items = b"".join(opcodes(key) + opcodes(entry) for key, entry in value.items())
        return b"}(" + items + b"u"
    if isinstance(value, Call):
        return opcodes(value.function) + opcodes(value.arguments) + b"R"
    if isinstance(value, Storage):
        kind = Global("torch", "FloatStorage")
        return opcodes(("storage", kind, value.key, "cpu", value.count)) + b"Q"
    raise TypeError(type(value))


def pickled(value):
    return b"\x80\x02" + opcodes(value) + b"."


def tensor(key, shape):
    strides, stride = [], 1
    for length in reversed(shape):
        strides.insert(0, stride)
        stride *= length
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    hooks = Call(Global("collections", "OrderedDict"))
    return Call(rebuild, Storage(key, stride), 0, tuple(shape), tuple(strides), False, hooks)


def state_dict():
    return {name: tensor(str(key), shape) for key, (name, _, shape) in enumerate(ENTRIES)}


def archive(value, names=()):
    """A ZIP archive as PyTorch writes it, with the values of the entries and further members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as members:
        # Without a date, so that the file is always the same.
        def add(name, content):
            members.writestr(zipfile.ZipInfo(f"archive/{name}"), content)

        add("data.pkl", pickled(value))
        add("byteorder", b"little")
        for key, (_, _, shape) in enumerate(ENTRIES):
            add(f"data/{key}", floats(shape))
        add("version", b"3\n")
        for name in names:
            add(name, b"")
    return buffer.getvalue()


def legacy():
    """The older stream of pickles: a number, a version, the machine, the entries, the keys, and then the values."""
    magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
    machine = pickled({"protocol_version": 1001, "little_endian": True})
    keys = [str(key) for key in range(len(ENTRIES))]
    keys = b"\x80\x02](" + b"".join(map(opcodes, keys)) + b"e."
    values = b"".join(struct.pack("<Q", size(shape) // 4) + floats(shape) for _, _, shape in ENTRIES)
    return magic + pickled(1001) + machine + pickled(state_dict()) + keys + values


def safetensors(names, metadata=None):
    header, offset = {}, 0
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, shape in names:
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size(shape)]}
        offset += size(shape)
    header = json.dumps(header).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + b"".join(floats(shape) for _, shape in names)


def cbor(value):
    def head(kind, count):
        if count < 24:
            return bytes([kind << 5 | count])
        return bytes([kind << 5 | 25]) + struct.pack(">H", count)

    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, str):
        return head(3, len(value)) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    return head(5, len(value)) + b"".join(cbor(key) + cbor(entry) for key, entry in value.items())


def record(tensors, values):
    """A record of Burn."""
    metadata = cbor({"tensors": tensors})
    header = b"NRUB" + struct.pack("<HI", 1, len(metadata))
    return header + metadata + bytes(-(len(header) + len(metadata)) % 256) + values


def burnpack():
    tensors, values = {}, b""
    for _, name, shape in sorted(ENTRIES, key=lambda entry: entry[1]):
        values += bytes(-len(values) % 256)
        offsets = [len(values), len(values) + size(shape)]
        tensors[name] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
        values += floats(shape)
    return record(tensors, values)


def unaligned():
    """Values in half precision at an odd place."""
    _, name, shape = ENTRIES[2]
    count = size(shape) // 4
    tensors = {name: {"dtype": "F16", "shape": shape, "data_offsets": [1, 1 + 2 * count]}}
    return record(tensors, struct.pack(f"<B{count}e", 0, *range(count)))


def idx(shape):
    count = size(shape) // 4
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + bytes(index % 10 for index in range(count))


def weights():
    calls_eval = (CRATES / "twins-models/tests/golden/formats/calls_eval.pkl").read_bytes()
    nested = {"epoch": 3, "model": state_dict()}
    # After 0 a file, after 1 the pickle of an archive.
    for name, which, content in [
        ("archive", 0, archive(state_dict())),
        ("archive_nested", 0, archive(nested, [".data/serialization_id"])),
        ("legacy", 0, legacy()),
        ("pickle_calls_eval", 0, calls_eval),
        ("in_archive", 1, pickled(state_dict())),
        ("in_archive_nested", 1, pickled(nested)),
        ("in_archive_calls_eval", 1, calls_eval),
    ]:
        seed("weights_pickle", name, bytes([which]) + content)
    plain = [(name, shape) for name, _, shape in ENTRIES]
    seed("weights_safetensors", "plain", safetensors(plain))
    card = {
        "config": {
            "architecture": "mnist-cnn",
            "num_classes": 2,
            "normalisation": None,
            "image_size": [28, 28],
            "upsampling": None,
            "seed": 0,
        },
        "classes": ["a", "b"],
        "library_version": "0.1.0",
    }
    seed("weights_safetensors", "card", safetensors(plain[1:], {"format": "pt", "burn-twins": json.dumps(card)}))
    seed("weights_burnpack", "record", burnpack())
    seed("weights_burnpack", "unaligned", unaligned())


def data():
    batches = "cifar_python/cifar-10-batches-py"
    seed("cifar_python", "batch", golden(f"{batches}/data_batch_1", 0))
    seed("cifar_python", "names", golden(f"{batches}/batches.meta", 1))
    seed("cifar_python", "many_names", golden("cifar_python/cifar-100-python/meta", 1))
    names = {"label_names": [f"class {index}" for index in range(10)]}
    seed("cifar_python", "names_protocol_4", b"\x01" + pickle.dumps(names, 4))
    seed("cifar_binary", "record", bytes([0, 1, 5]) + bytes(index % 251 for index in range(3072)))
    seed("cifar_binary", "names", text("".join(f"class {index}\n" for index in range(100)), 1))
    seed("cifar_binary", "record_10", bytes([2, 5]) + bytes(index % 251 for index in range(3072)))
    seed("cifar_binary", "names_10", text("".join(f"class {index}\n" for index in range(10)), 3))
    for which, name, shape in [(0, "images", [3, 4, 5]), (1, "labels", [3])]:
        seed("idx", name, bytes([which]) + idx(shape))
        seed("idx", f"{name}_gz", bytes([which]) + gzip.compress(idx(shape), mtime=0))
        seed("idx", f"{name}_to_compress", bytes([2 + which]) + idx(shape))
    for name in ["grey.jpg", "half_chroma.jpg", "progressive_exif.jpg", "restarts.jpg"]:
        seed("image", name, golden(f"jpeg/encoded/class/{name}"))
    seed("image", "grey.png", golden("jpeg/decoded/class/grey.png"))
    seed("image", "lossy.webp", golden("jpeg/lossy.webp"))
    seed("image", "binary.ppm", b"P6 33 34 255\n" + bytes(index % 256 for index in range(3 * 33 * 34)))
    seed("image", "text.pgm", b"P2\n# a comment\n3 2\n15\n" + b" ".join(b"%d" % index for index in range(6)) + b"\n")


def lists():
    # Entries of a folder: what each is, and its path.
    for name, entries in [
        ("two_classes", ["\3a/1.png", "\3a/2.png", "\3b/1.png"]),
        ("other_files", ["\3a/1.png", "\1a/2.png", "\1a/.hidden", "\4a/notes.txt", "\5b", "\3c/d/1.png"]),
        ("names", ["\3a\x1b[2J/1.png", "\3é/\u202e1.png", "\1<b>/\n.png"]),
    ]:
        seed("folder", name, "\0".join(entries).encode())

    # The bytes that choose: the layout, and the file of it. The targets have the images.
    gtsrb = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n"
    for name, layout, which, content in [
        ("list", 0, 0, "# path, class, part\na/1.png\tb\ttrain\na/2.png\tc\ttest\n"),
        ("cub200_images", 1, 0, "1 a/1.png\n2 a/2.png\n"),
        ("cub200_labels", 1, 1, "1 1\n2 2\n"),
        ("cub200_split", 1, 2, "1 1\n2 0\n"),
        ("cub200_classes", 1, 3, "1 001.Black_footed_Albatross\n2 c\n"),
        ("dtd", 2, 0, "a/1.png\na/3.png\n"),
        ("pets", 3, 0, "# comment\na_1 1 1 1\nb_2 2 1 1\n"),
        ("gtsrb", 4, 0, gtsrb + "1.png;2;2;0;0;1;1;3\n2.png;2;2;0;0;1;1;42\n"),
    ]:
        seed("lists", name, text(content, layout, which))


SETTINGS = """\
method = "twins-trades"
epochs = 3
batch_size = 32
accumulate = 2
learning_rate = 0.01
lambda = 1.5
[adversary]
epsilon = "8/255"
step_size = 0.007
steps = 3
"""

EXPERIMENT = """\
[data]
source = "builtin"
train_images = "100"
[model]
arch = "tiny-resnet"
normalisation = "imagenet"
[training]
method = "trades"
epochs = 3
[training.adversary]
epsilon = "8/255"
[evaluation]
steps = 5
autoattack = "none"
[compute]
devices = ["cpu"]
[log]
formats = ["csv"]
"""

STUDY = """\
name = "Small"
seeds = [0, 1]
baseline = "twins"
[experiment]
model.arch = "tiny-resnet"
epochs = 2
adversary.epsilon = "4/255"
[trials]
candidates = [{ learning_rate = 0.1 }, { learning_rate = 0.01, lambda = 0.5 }]
seed = 100
[[arms]]
name = "twins"
method = "twins-at"
[[arms]]
name = "scaled"
method = "at"
settings_of = { arm = "twins", learning_rate_factor = 2.0 }
"""


def runs():
    seed("settings", "training.toml", SETTINGS.encode())
    seed("settings", "experiment.toml", EXPERIMENT.encode())
    seed("settings", "training.json", b'{"epochs": 3, "adversary": {"epsilon": 0.03, "steps": 3}}')
    seed("study", "study.toml", STUDY.encode())
    arm = {"name": "a", "settings_from": {"given": 0.1}, "resolved": [{"candidate": {}, "run": {}}]}
    for name, arms in [("empty.json", []), ("arm.json", [arm])]:
        seed("study", name, json.dumps({"name": "x", "seeds": [0], "baseline": "a", "arms": arms}).encode())

    # Edits of four bytes each to a file that the target writes, as `edited` of the library reads them.
    seed("journal", "whole", b"\x01")
    seed("journal", "shorter", b"\x01\x04\x80\x00\x00")
    seed("journal", "repeated", b"\x01\x03\x20\x00\x30\x02\x40\x00\x04")
    # Five bytes change a record, whose checksums then fit: nothing; the tag; the number of forward passes; the same record again.
    seed("journal", "records", b"\x02")
    seed("journal", "records_tag", b"\x02\x00\x00\x04\x00b")
    seed("journal", "records_passes", b"\x02\x01\x00\x13\x00\xff\x02\x00\x13\x00\xff")
    seed("journal", "records_repeated", b"\x02\x81\x00\x00\x00\x00")
    # A hash with control characters, which an error once showed.
    seed("journal", "records_hash", b"\x80\x00\x00\x02\x81\x00\x14\x00\x00\x00")
    seed("resume", "whole", b"\x01")
    seed("resume", "changed", b"\x02\x00\x00\x08\x03")
    # Of the file of settings, of the metrics and of the best weights, which follow the state.
    for file, name in [(1, "settings"), (2, "metrics"), (3, "best")]:
        seed("resume", name, bytes([3 * file + 1, 0, 40, 0, 7]))
    seed("resume", "made_up", b"\x00" + safetensors([("model.weight", [2, 3])], {"state": "{}"}))

    accuracy = {"correct": 5, "total": 20}
    layer = {"weight_norm": 1.5, "gradient_norm": 0.1, "effective_learning_rate": 0.02, "relative_update": 0.001}
    metrics = {
        "epoch": 1,
        "steps": 5,
        "learning_rate": 0.01,
        "loss": 2.0,
        "loss_frozen": 1.0,
        "loss_adaptive": 1.0,
        "train_adversarial_accuracy": accuracy,
        "train_clean_accuracy": accuracy,
        "validation_clean_accuracy": accuracy,
        "validation_robust_accuracy": accuracy,
        "ema_accuracy": [accuracy, accuracy],
        "gradient_norm": 1.0,
        "layers": {"conv1.weight": layer},
        "wing_drift": {"norm": {"mean_shift": 0.1, "variance_ratio": 0.2}},
        "skipped_batches": 0,
        "images_per_second": 100.0,
        "seconds": 2.0,
        "seconds_waiting": 0.5,
    }
    result = {
        "name": "at",
        "status": "completed",
        "planned_epochs": 1,
        "finished_epochs": 1,
        "provenance": {"version": "0.1.0", "devices": ["cpu"], "started": 1700000000, "seconds": 9.5, "seed": 1},
        "facts": [{"label": "architecture", "value": "resnet8"}],
        "settings": [{"name": "epochs", "value": "1", "default": "50"}],
        "classes": ["a", "b"],
        "best": {"epoch": 1, "source": "raw", "clean": accuracy, "robust": accuracy},
        "scores": [
            {"label": "clean", "kind": "clean", "correct": 18, "total": 20, "seconds": 1.0},
            {"label": "PGD-20", "kind": "attack", "correct": 7, "total": 20, "warnings": ["masked"]},
        ],
        "curves": [{"label": "best", "norm": "linf", "steps": 5, "points": [[0.0, accuracy], [0.1, accuracy]]}],
    }
    model = {
        "architecture": "tiny-resnet",
        "num_classes": 2,
        "normalisation": None,
        "image_size": [32, 32],
        "upsampling": None,
        "seed": 0,
    }
    inputs = {"images": {"train": 900, "test": 100}, "classes": ["a", "b"], "model": model, "head": "random"}
    # The settings of the arm in `study/arm.json`, and some in every table.
    settings = {
        "data": {"source": "builtin", "train_images": "100"},
        "model": {"arch": "tiny-resnet", "normalisation": "imagenet"},
        "training": {"method": "trades", "epochs": 3, "validation": {"groups": "prefix:_"}},
        "evaluation": {"steps": 5, "autoattack": "none"},
        "compute": {"devices": ["cpu"]},
        "log": {"formats": ["csv"]},
    }
    diverged = {"what": "the loss is not finite (NaN)", "epoch": 1, "step": 3}
    # The last two bits of the first byte choose.
    for which, name, content in [
        (b"0", "result", result),
        (b"2", "experiment", {"settings": {}, "resolved": inputs}),
        (b"2", "experiment_settings", {"settings": settings, "resolved": inputs}),
        (b"3", "diverged", diverged),
    ]:
        seed("record", name, which + json.dumps(content).encode())
    seed("record", "metrics", b"1" + json.dumps(metrics).encode() + b"\n")


if __name__ == "__main__":
    shutil.rmtree(HERE / "corpus", ignore_errors=True)
    weights()
    data()
    lists()
    runs()
