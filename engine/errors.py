"""Every error this project raises on purpose, drawn as one tree.

FldError
├── UserError                what the user can mend; the command line exits with 2
│   ├── ConfigError          a configuration that cannot be run
│   ├── SourceError          a SOURCE that cannot be planned
│   ├── OutError             an OUT that cannot be used
│   ├── WeightsMissing       a model file or package that is not there
│   ├── TruthError           a file of ground truth that cannot be compared with
│   └── QueryError           SQL that DuckDB refuses
├── ImageError               one image that cannot be decoded (ends in quarantine)
├── ReadError                storage that did not give an image this time (tried again, then quarantine)
├── RecordError              one recorded prediction that cannot be read (ends in quarantine)
├── StoreError               storage that answers with something impossible
├── StageFailed              a stage that cannot load or lost too many workers; exits with 3
└── OutOfMemory              the accelerator is full (the batch is halved)
"""


class FldError(Exception):
    """Root of every error raised on purpose."""


class UserError(FldError):
    """The user can mend this; the message says what, where and how."""


class ConfigError(UserError):
    """A configuration that cannot be run."""


class SourceError(UserError):
    """A SOURCE that cannot be planned: absent, empty, or with colliding keys."""


class OutError(UserError):
    """An OUT that cannot be used: unwritable, or made by another source."""


class WeightsMissing(UserError):
    """A model file or a package that a specialist needs is not there."""


class TruthError(UserError):
    """A file of ground truth that cannot be read, or that is not about these images."""


class QueryError(UserError):
    """SQL that DuckDB refuses, with DuckDB's own explanation."""


class ImageError(FldError):
    """One image cannot be decoded within the limits."""


class ReadError(FldError):
    """Storage did not give an image this time; it may the next."""


class RecordError(FldError):
    """One recorded prediction cannot be read."""


class StoreError(FldError):
    """Storage holds something that this project never writes."""


class StageFailed(FldError):
    """A stage cannot load, breaks its contract, or loses every worker that tries it. `stage` is its name."""

    def __init__(self, message: str, stage: str = "") -> None:
        super().__init__(message, stage)  # both, so that it survives pickling
        self.stage = stage

    def __str__(self) -> str:
        return str(self.args[0])


class OutOfMemory(FldError):
    """The accelerator is full; the caller halves the batch."""
