"""Writes events.bin with TensorBoard's own messages and record writer."""

from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


def scalars(wall_time, step, values):
    summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values])
    return Event(wall_time=wall_time, step=step, summary=summary)


events = [
    Event(wall_time=1.0, file_version="brain.Event:2"),
    scalars(1700000000.25, 1, [("step/loss", 2.302585), ("step/accuracy", 0.125)]),
    scalars(1700000001.5, 300, [("epoch/loss", -0.0), ("epoch/objective/natural_branch", 1e-30)]),
    Event(wall_time=1700000002.0, step=1 << 40, session_log=SessionLog(status=SessionLog.START)),
]
with Path(__file__).with_name("events.bin").open("wb") as file:
    writer = RecordWriter(file)
    for event in events:
        writer.write(event.SerializeToString())
