"""Every error that cityproof raises on purpose.

* PipelineError
  x VerificationError   the evidence is wrong: never retry, keep the bytes
  x UnavailableError    a broker, store or peer did not answer: retry with jitter, lose nothing
    + MissingError        it answered that a file is not there: perhaps not yet
  x FencedError         another process has taken over: stop, lose nothing
  x InputError          what a person gave is wrong: name the place and the remedy

Our own bugs are none of these: they are assertions and stop the process.
"""

from pipeline.wire.reasons import Reason


class PipelineError(Exception):
    """Root of every error raised on purpose."""


class VerificationError(PipelineError):
    """The evidence is wrong. `reason` is one of the published codes, `detail` says where.

    The detail may quote what came from elsewhere; characters that would do something to a terminal are `?`.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        if not detail.isprintable():
            detail = "".join(c if c.isprintable() else "?" for c in detail)
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.detail or self.reason.meaning}"


class UnavailableError(PipelineError):
    """Something did not answer. The caller retries with jitter and has lost nothing."""

    def __init__(self, service: str, action: str) -> None:
        super().__init__(service, action)
        self.service = service
        self.action = action

    def __str__(self) -> str:
        return f"{self.service} did not answer: {self.action}"


class MissingError(UnavailableError):
    """A file of the log is not there, or not yet. Whoever was promised it has evidence; others retry."""

    def __init__(self, path: str) -> None:
        super().__init__("log files", f"{path} is missing")
        self.args = (path,)  # Between processes it is made again from these.
        self.path = path


class FencedError(PipelineError):
    """A newer writer has taken this one's place; whatever was not committed is the newer one's to do."""


class InputError(PipelineError):
    """A setting, file or argument that a person gave is wrong."""

    def __init__(self, place: str, problem: str, remedy: str) -> None:
        super().__init__(place, problem, remedy)
        self.place = place
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}. {self.remedy}"
