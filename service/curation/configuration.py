"""What the settings of this machine say to curation."""

from pipelines.curate.config import CurationConfig
from service.settings import Settings


def configuration(settings: Settings, budget_seconds: float | None = None) -> CurationConfig:
    """The configuration of a curator on this machine; `budget_seconds` of a conversation, that of CurationConfig if None."""
    config = CurationConfig(
        ner_model=settings.ner_model, ner_labels=settings.ner_labels, allow_degraded_names=settings.allow_degraded_names
    )
    return config if budget_seconds is None else config.model_copy(update={"budget_seconds": budget_seconds})
