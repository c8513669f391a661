"""A configured model for names really loads: spaCy and Hugging Face, made here, tiny."""

import re
from pathlib import Path

import pytest

from pipelines.curate.config import CurationConfig
from pipelines.curate.curate import Curator
from pipelines.curate.ner import chunks, load_finders
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


def test_a_spacy_model_finds_names_that_rules_cannot_know(spacy_model: Path, chat: Chat) -> None:
    curator = Curator(CurationConfig(ner_model=str(spacy_model)))
    clean = curator.curate(chat("yesterday Zyxxor saw Tilu", "ok"), SECRET, KEY)
    assert isinstance(clean, CleanConversation)
    assert re.fullmatch(r"yesterday [A-Z][a-z]+ saw Tilu", clean.messages[0].text)
    assert "Zyxxor" not in clean.messages[0].text


def test_a_hugging_face_model_gives_spans_of_persons(tmp_path: Path) -> None:
    [find] = load_finders(str(hugging_face_model(tmp_path / "hf", {0: "O", 1: "B-PER"})))
    text = "x " * 600 + "so zyxxor left"
    assert [text[start:end] for start, end in find(text)] == ["zyxxor"]


def test_a_model_without_a_label_for_persons_is_refused(tmp_path: Path) -> None:
    folder = hugging_face_model(tmp_path / "hf", {0: "O", 1: "B-LOC"})
    with pytest.raises(ModelError, match="no label for persons"):
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
