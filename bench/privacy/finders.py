"""The two sides of the comparison: our detection, and stock Presidio with its default recognizers."""

import importlib.util
import warnings

from bench.privacy.rows import Row
from bench.privacy.score import Finder, Finding

THRESHOLD = 0.4
SPACY_MODELS = ("en_core_web_sm", "en_core_web_md", "en_core_web_lg")


def ours() -> Finder:
    """What curation would replace in a text by itself, without a model."""
    from pipelines.curate.config import CurationConfig
    from pipelines.curate.curate import Curator

    curator = Curator(CurationConfig(allow_degraded_names=True))

    def find(row: Row) -> list[Finding]:
        return [(span.start, span.end) for span, _, _ in curator.examine(row.text, b"s" * 32, b"k" * 32)]

    return find


def stock() -> tuple[Finder, str]:
    """Presidio's AnalyzerEngine as its registry loads it, and the model of its NLP engine: spaCy's small English one where
    it is installed, else none (then it finds no names)."""
    import tldextract
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NlpEngineProvider, NoOpNlpEngine

    # Its e-mail validation would fetch the public-suffix list: the one inside the package will do, and nothing calls home.
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    model = next((name for name in SPACY_MODELS if importlib.util.find_spec(name)), "no_op")
    languages = ["en", "ko", "de", "es"] if model == "no_op" else ["en"]
    registry = RecognizerRegistry(supported_languages=languages)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        registry.load_predefined_recognizers(languages=languages)
        if model == "no_op":
            registry.remove_recognizer("SpacyRecognizer")
            nlp = NoOpNlpEngine([{"lang_code": language, "model_name": "no_op"} for language in languages])
        else:
            models = [{"lang_code": "en", "model_name": model}]
            nlp = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
        engine = AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=languages)

    def find(row: Row) -> list[Finding]:
        language = row.language if row.language in languages else "en"
        results = engine.analyze(row.text, language, score_threshold=THRESHOLD)
        return [(result.start, result.end) for result in results if result.entity_type not in ("DATE_TIME", "NRP")]

    return find, model
