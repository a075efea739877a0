"""ONNX Runtime sessions: without telemetry, on the processor cores that we may use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lookbook.core.environment import usable_cores

if TYPE_CHECKING:
    import onnxruntime


def silence() -> None:
    """Switch ONNX Runtime's telemetry off, unless the user has decided; call it before an import.

    It would keep an identifier of the device and a database in the user's cache folder, and look
    up the host of its events. It reads this variable once, when it is loaded.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def open_session(
    content: bytes, *, spins: bool = True, threads: int | None = None
) -> onnxruntime.InferenceSession:
    """Return a session that computes what an ONNX file says.

    Its threads, one for each core that we may use where no number is given, spin while they wait
    for work, which answers single images sooner; or they leave the processor to others.
    """
    silence()
    import onnxruntime  # noqa: PLC0415  # 0.1 s, and not needed to pass a model on

    options = onnxruntime.SessionOptions()
    # ONNX Runtime would count the host's processors, not those we may use
    options.intra_op_num_threads = threads or usable_cores()
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spins)))
    # what fails is raised; it would be printed, too
    options.log_severity_level = 4
    # falling back, it would print what is wrong with a file, and try again with the same
    providers = {"providers": ["CPUExecutionProvider"], "enable_fallback": 0}
    return onnxruntime.InferenceSession(content, options, **providers)
