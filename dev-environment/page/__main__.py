"""The page: reads what the stack writes and answers, and shows it at http://127.0.0.1:3000 until it is ended."""

import asyncio

from nicegui import app, ui
from stack import settings
from stack.local import watchers
from stack.services import PAGE

from page import runbooks
from page.guard import OnlyFromHere
from page.playing import DEMO, LOAD, Child, end_leftovers
from page.reading.store import Store
from page.views import frame, logs, metrics, overview, service_map, story, traces, waterfall


def main() -> None:
    """Serve the page."""
    current = settings.read()
    end_leftovers(current.state)
    store = Store(current)
    demo, load = Child(current.state, DEMO), Child(current.state, LOAD)
    frame.prepare()
    overview.add(store, {each.name: each.url(current) for each in watchers.started(current)})
    for view in (traces, waterfall, logs, metrics, service_map):
        view.add(store)
    story.add(demo, load)
    app.include_router(runbooks.router)
    app.add_middleware(OnlyFromHere)
    reading: list[asyncio.Task[None]] = []

    @app.get("/health/ready")
    def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.on_startup
    def begin() -> None:
        reading.append(asyncio.get_running_loop().create_task(store.run()))

    @app.on_shutdown
    async def end() -> None:
        for task in reading:
            task.cancel()
        await asyncio.gather(demo.stop(), load.stop(), *reading, return_exceptions=True)

    ui.run(
        host="127.0.0.1",
        port=watchers.port(PAGE, current),
        title="All-ERP",
        favicon=frame.ICON,
        dark=None,
        tailwind=False,
        binding_refresh_interval=None,
        reload=False,
        show=False,
        show_welcome_message=False,
        gzip_middleware_factory=None,  # nothing goes over a network
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
