"""Parts of the server alone: looking for versions, its ticks, its end."""

from __future__ import annotations

import asyncio
import logging

from lookbook.serving.http import server


def test_looking_for_versions_goes_on_after_any_error(monkeypatch, caplog):
    monkeypatch.setattr(server, "REFRESH_SECONDS", 0.01)
    n_looks = 0

    class Failing:
        def refresh(self) -> None:
            nonlocal n_looks
            n_looks += 1
            raise RuntimeError("of ONNX Runtime")

    async def main() -> None:
        looking = asyncio.create_task(server._refresh(Failing()))
        while n_looks < 2 and not looking.done():
            await asyncio.sleep(0.01)
        looking.cancel()

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert n_looks >= 2
    assert caplog.messages[0] == "looking for versions"
