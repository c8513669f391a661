"""Every exception that Perennial raises on purpose.

PerennialError            one clear sentence: what was wrong, with which value, what to do
├── InputError            something a person or client sent or typed
│   ├── RecipeError       a recipe that cannot be read or acted on
│   ├── DataError         a record, file or pool that does not hold what it must
│   └── SuiteError        a suite that is missing, empty or malformed
├── ArtifactError         a file or folder on disk that is missing, changed or half-written
│   ├── ModelError        weights, tokenizer or adapter that cannot be used
│   ├── GGUFError         a GGUF that is missing, corrupt or has the wrong tensor types
│   └── NoSpace           a disk that is full, or too small for what is to be written
├── TrainingError         training that cannot start or went wrong (no trained token, NaN loss)
│   └── NothingToLearn    preference training without an example, or with answers of one label only
├── Refused               an act that the rules do not allow (promote a failed candidate)
├── NotFound              an id that names nothing
├── Conflict              the same id with other content
├── Busy                  try again later (queue full, engine loading)
│   └── QueueFull         as many chats wait for the engine as may
├── Cancelled             the round was cancelled or its lease was lost
├── ChildCrashed          a child process that ended without an answer
│   └── ChildTimedOut     one that took too long and was stopped
└── MissingDependency     an optional package or tool that is not installed
"""


class PerennialError(Exception):
    """Base of all; `str(error)` is the sentence that a person reads."""


class InputError(PerennialError):
    pass


class RecipeError(InputError):
    pass


class DataError(InputError):
    pass


class SuiteError(InputError):
    pass


class ArtifactError(PerennialError):
    pass


class ModelError(ArtifactError):
    pass


class GGUFError(ArtifactError):
    pass


class NoSpace(ArtifactError):
    pass


class TrainingError(PerennialError):
    pass


class NothingToLearn(TrainingError):
    pass


class Refused(PerennialError):
    pass


class NotFound(PerennialError):
    pass


class Conflict(PerennialError):
    pass


class Busy(PerennialError):
    pass


class QueueFull(Busy):
    pass


class Cancelled(PerennialError):
    pass


class ChildCrashed(PerennialError):
    pass


class ChildTimedOut(ChildCrashed):
    pass


class MissingDependency(PerennialError):
    pass
