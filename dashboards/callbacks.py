"""Dash callbacks that never block the server.

On the FastAPI backend a plain function would run on the event loop and stop every other request, the live
stream included. `Callbacks` runs it in a thread of its own pool, with the callback's context.
"""

import asyncio
import functools
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from dash import Dash


class Callbacks:
    """`cb = Callbacks(app)`, then `@cb(Output(...), Input(...))` like `app.callback`."""

    def __init__(self, app: Dash, workers: int = 8) -> None:
        self._app = app
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="callback")

    def __call__(self, *args: Any, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        register = self._app.callback(*args, **options)

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            if inspect.iscoroutinefunction(function):
                register(function)
                return function

            @functools.wraps(function)
            async def in_thread(*values: Any) -> Any:
                context = copy_context()
                call = functools.partial(context.run, function, *values)
                return await asyncio.get_running_loop().run_in_executor(self._pool, call)

            register(in_thread)
            return function

        return decorate

    def close(self) -> None:
        """Let the threads go; callbacks still waiting are dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)
