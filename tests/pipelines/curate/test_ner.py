"""A configured model for names really loads: spaCy and Hugging Face, made here, tiny."""

import re
from pathlib import Path

import pytest

from pipelines.curate.config import CurationConfig
from pipelines.curate.curate import Curator
from pipelines.curate.labels import Labels, parse_mapping
from pipelines.curate.ner import Finder, Named, as_whole_words, chunks, load_finders
from pipelines.errors import InputError, ModelError
from pipelines.records import CleanConversation
from tests.pipelines.curate.chats import KEY, SECRET, Chat

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture
def spacy_model(tmp_path: Path) -> Path:
    spacy = pytest.importorskip("spacy")
    model = spacy.blank("xx")
    model.add_pipe("entity_ruler").add_patterns(
        [{"label": "PER", "pattern": "Zyxxor"}, {"label": "LOC", "pattern": "Tilu"}]
    )
    model.to_disk(tmp_path / "spacy")
    return tmp_path / "spacy"


def hugging_face_model(folder: Path, labels: dict[int, str]) -> Path:
    """A two-word BERT whose last layer is set so that `zyxxor` gets label 1 and every other word label 0."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    torch = pytest.importorskip("torch")
    folder.mkdir()
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[PAD]": 0, "[UNK]": 1, "zyxxor": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(
        folder
    )
    config = transformers.BertConfig(
        vocab_size=3,
        hidden_size=8,
        num_hidden_layers=0,
        num_attention_heads=1,
        intermediate_size=8,
        id2label=labels,
        label2id={label: index for index, label in labels.items()},
    )
    model = transformers.BertForTokenClassification(config).eval()
    with torch.no_grad():
        for table in ("word_embeddings", "position_embeddings", "token_type_embeddings"):
            getattr(model.bert.embeddings, table).weight.zero_()
        model.bert.embeddings.word_embeddings.weight[2] = torch.tensor([9.0, -9, 9, -9, 9, -9, 9, -9])
        model.classifier.weight.zero_()
        model.classifier.weight[1] = torch.tensor([1.0, -1, 1, -1, 1, -1, 1, -1])
        model.classifier.bias.copy_(torch.tensor([4.0, 0.0]))
    model.save_pretrained(folder)
    return folder


def words_of(find: Finder, *texts: str) -> list[list[str]]:
    return [[text[start:end] for start, end, _ in spans] for text, spans in zip(texts, find(texts), strict=True)]


def test_a_spacy_model_finds_names_that_rules_cannot_know(spacy_model: Path, chat: Chat) -> None:
    curator = Curator(CurationConfig(ner_model=str(spacy_model)))
    clean = curator.curate(chat("yesterday Zyxxor saw Tilu", "ok"), SECRET, KEY)
    assert isinstance(clean, CleanConversation)
    assert re.fullmatch(r"yesterday [A-Z][a-z]+ saw Tilu", clean.messages[0].text)
    assert "Zyxxor" not in clean.messages[0].text


def test_a_hugging_face_model_gives_spans_of_persons(tmp_path: Path) -> None:
    [(_, find)] = load_finders(str(hugging_face_model(tmp_path / "hf", {0: "O", 1: "B-PER"})))
    long = "x " * 600 + "so zyxxor left"
    assert words_of(find, long, "", "none here", "zyxxor") == [["zyxxor"], [], [], ["zyxxor"]]


@pytest.mark.parametrize(
    "label", ["GIVEN_NAME", "I-SURNAME", "FIRSTNAME", "B-LASTNAME1", "E-PER", "S-PERSON", "PS", "Full Name", "PER-B"]
)
def test_labels_are_known_by_their_meaning(label: str) -> None:
    labels = Labels(["O", label, "B-LOC"], {}, "m")
    assert labels.entity(label) == "PERSON"
    assert labels.entity("O") is labels.entity("B-LOC") is None


def test_a_mapping_says_what_labels_mean(tmp_path: Path) -> None:
    folder = str(hugging_face_model(tmp_path / "hf", {0: "O", 1: "B-WHO"}))
    [(_, find)] = load_finders(folder, parse_mapping("who=PERSON"))
    assert words_of(find, "so zyxxor left") == [["zyxxor"]]
    with pytest.raises(ModelError, match=r"none of the labels .*: O, WHO; .*PERENNIAL_NER_LABELS"):
        load_finders(folder)


def test_a_label_can_be_said_to_mean_nothing_or_something_else() -> None:
    labels = Labels(["B-PER", "STREET"], {"per": "-", "Street": "ADDRESS"}, "m")
    assert [labels.entity(label) for label in ("B-PER", "STREET")] == [None, "ADDRESS"]


@pytest.mark.parametrize("mapping", ["WHO", "WHO=HUMAN", "=PERSON"])
def test_a_mapping_that_is_none_says_what_to_write(mapping: str) -> None:
    with pytest.raises(ValueError, match="maps no label: write LABEL=ENTITY"):
        parse_mapping(mapping)


@pytest.mark.parametrize(
    ("text", "pieces", "whole"),
    [
        ("Ok on kwo Okonkwo said", [(10, 12), (12, 14), (14, 15), (15, 17)], ["Okonkwo"]),
        ("so Okonkwo said", [(5, 7)], ["Okonkwo"]),
        ("Tom\u00e1\u0161 Dvo\u0159\u00e1k left", [(0, 3), (6, 8)], ["Tom\u00e1\u0161 Dvo\u0159\u00e1k"]),
        ("John F. Kennedy, Anna", [(0, 4), (8, 15), (17, 21)], ["John F. Kennedy", "Anna"]),
        ("\uae40\ubbfc\uc218\uac00 \uc654\ub2e4", [(0, 3)], ["\uae40\ubbfc\uc218"]),
        (" Anna ", [(0, 6)], ["Anna"]),
    ],
    ids=["pieces", "middle", "accents", "initial", "particle", "blanks"],
)
def test_spans_grow_to_the_edges_of_words(text: str, pieces: list[tuple[int, int]], whole: list[str]) -> None:
    spans = as_whole_words([Named(start, end, "PERSON") for start, end in pieces], text)
    assert [text[start:end] for start, end, _ in spans] == whole


def test_several_models_find_together(spacy_model: Path, tmp_path: Path, chat: Chat) -> None:
    other = hugging_face_model(tmp_path / "hf", {0: "O", 1: "S-SURNAME"})
    curator = Curator(CurationConfig(ner_model=f"{spacy_model},{other}"))
    clean = curator.curate(chat("yesterday Zyxxor saw zyxxor there", "ok"), SECRET, KEY)
    assert isinstance(clean, CleanConversation)
    assert clean.messages[0].features.entities == {"PERSON": 2}


def test_a_spacy_model_without_a_label_for_persons_lists_its_labels(tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy")
    model = spacy.blank("xx")
    model.add_pipe("entity_ruler").add_patterns([{"label": "GPE", "pattern": "Tilu"}])
    model.to_disk(tmp_path / "spacy")
    with pytest.raises(ModelError, match="none of the labels .*: GPE;"):
        load_finders(str(tmp_path / "spacy"))


def test_a_model_without_a_label_for_persons_is_refused(tmp_path: Path) -> None:
    folder = hugging_face_model(tmp_path / "hf", {0: "O", 1: "B-LOC"})
    with pytest.raises(ModelError, match="none of the labels .* means a person.*: LOC, O;"):
        load_finders(str(folder))


@pytest.mark.parametrize("setting", ["no_such_model", "./nowhere", "", "spacy no"])
def test_a_name_that_is_no_model_says_what_to_give(setting: str) -> None:
    with pytest.raises(InputError, match="ner_model"):
        load_finders(setting)


def test_a_broken_model_folder_is_a_model_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_finders(str(tmp_path))


def test_chunks_cover_the_text() -> None:
    text = "word " * 500 + "y" * 2_500
    pieces = chunks(text)
    assert "".join(piece for _, piece in pieces) == text
    assert all(text[start : start + len(piece)] == piece and len(piece) <= 1_000 for start, piece in pieces)
