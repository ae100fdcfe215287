"""The journal of a service, on standard error: lines of JSON, or text for people where that is a terminal."""

import logging
import sys
from collections.abc import Mapping
from typing import TextIO

import structlog


def open_journal(service: str) -> None:
    """Let everything that is logged in this process go to the journal, named by its service."""
    stream: TextIO = sys.stderr
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    rendering: list[structlog.types.Processor]
    if stream.isatty():
        rendering = [structlog.dev.ConsoleRenderer()]
    else:
        rendering = [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]

    def name_service(
        _logger: object, _method: str, event: structlog.types.EventDict
    ) -> structlog.types.EventDict:
        return {"service": service, **event}

    clean = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[name_service, clean, *rendering]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    # What it fails at reaches us as errors; while Kafka is away it would tell of it twenty times a second.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def tell(event: str, facts: Mapping[str, object] | None = None, *, level: int = logging.INFO) -> None:
    """Write an event with its facts."""
    structlog.get_logger("cityproof").log(level, event, **(facts or {}))
