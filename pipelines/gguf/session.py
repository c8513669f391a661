"""A GGUF in memory with its conversations: the thin layer over llama.cpp that scoring and serving both stand on."""

import ctypes
import unicodedata
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.chat import AddedToken, escape_of
from pipelines.errors import GGUFError, InputError
from pipelines.gguf.runtime import Runtime, last_words, llama, runtime_for
from pipelines.records import ServedForm

Row = npt.NDArray[np.float32]
_KV_TYPES = {"f32": 0, "f16": 1}


class Session:
    """A loaded served form with `sequences` conversations of up to `context` tokens each.

    `escape` breaks up every control token of its vocabulary in message text, as ChatTokenizer's does in training;
    `stops` are the texts of the tokens that end an answer.

    For one thread at a time. Every conversation has its own key-value stream, and prompts are computed in chunks cut
    at fixed places, so what one conversation yields does not depend on the others nor on what was kept from before.

    Raises:
        GGUFError: llama.cpp cannot load it. Check the files' sha256 first: changed weights load without complaint,
            and a damaged adapter ends the process.
    """

    def __init__(
        self, form: ServedForm, *, context: int = 512, sequences: int = 1, runtime: Runtime | None = None
    ) -> None:
        path = Path(form.path)
        if not path.is_file():
            raise GGUFError(f"{path} is missing")
        self._library = llama()
        self.runtime = runtime or runtime_for(path)
        self.sequences = sequences
        self._native = _Native(self._library)
        self._finalizer = weakref.finalize(self, self._native.free)
        self._model = self._native.model = self._load(path)
        self._adapter = self._native.adapter = self._load_adapter(form)
        self._scale = form.scale
        self._vocab = self._library.llama_model_get_vocab(self._model)
        self.vocabulary_size = int(self._library.llama_vocab_n_tokens(self._vocab))
        added = dict(self._added_tokens())
        self.escape = escape_of(added.values())
        self.stops = tuple(token.text for id, token in added.items() if self.ends(id))
        self._ids = {token.text: id for id, token in added.items()}
        self.trained_context = int(self._library.llama_model_n_ctx_train(self._model))
        self._batch = _Batch(self._library, self.runtime.chunk)
        self.context = 0
        self.grow(context)

    @property
    def chat_template(self) -> str | None:
        """The template inside the GGUF; chats are rendered with it and nothing else."""
        text = self._library.llama_model_chat_template(self._model, None)
        return text.decode("utf-8") if text else None

    @property
    def end_token(self) -> int:
        """The id that ends an answer."""
        return int(self._library.llama_vocab_eos(self._vocab))

    def ends(self, token: int) -> bool:
        """Whether this token ends an answer."""
        return bool(self._library.llama_vocab_is_eog(self._vocab, token))

    def is_control(self, token: int) -> bool:
        """Whether the vocabulary calls this token a control token."""
        return bool(self._library.llama_vocab_is_control(self._vocab, token))

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids of a rendered prompt, in NFC; control tokens in it are obeyed unless `special` is False.

        Tokens that are added and not special, such as `<tool_call>`, llama.cpp obeys in either case: `escape` the text.
        """
        data = unicodedata.normalize("NFC", text).encode("utf-8")
        room = len(data) + 8
        buffer = (ctypes.c_int32 * room)()
        count = self._library.llama_tokenize(self._vocab, data, len(data), buffer, room, False, special)
        if count < 0:
            raise GGUFError(f"llama.cpp cannot tokenize a text of {len(text)} characters")
        return list(buffer[:count])

    def piece(self, token: int) -> bytes:
        """The bytes a token stands for, possibly part of a character; empty for control tokens."""
        buffer = ctypes.create_string_buffer(64)
        size = self._library.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = self._library.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        return buffer.raw[: max(size, 0)]

    def marks(self, texts: Sequence[str]) -> dict[int, bytes]:
        """By id the tokens of the vocabulary that are one of these texts, control tokens among them."""
        return {self._ids[text]: text.encode() for text in texts if text in self._ids}

    def grow(self, context: int) -> None:
        """Make room for `context` tokens per conversation, forgetting them all if there was less.

        Raises:
            InputError: more than the model was trained to read.
        """
        if context <= self.context:
            return
        if context > self.trained_context:
            raise InputError(f"{context} tokens are too many: this model reads at most {self.trained_context}")
        self._native.free_context()
        self._context = self._native.context = self._new_context(context)
        self.context = context
        self._kept: list[list[int]] = [[] for _ in range(self.sequences)]
        self._lengths = [0] * self.sequences

    def length(self, sequence: int = 0) -> int:
        """Tokens that the conversation holds now."""
        return self._lengths[sequence]

    def resume(self, tokens: Sequence[int], sequence: int = 0) -> int:
        """Forget all of a conversation but the whole chunks it shares with a new prompt; how many tokens that is.

        At least the prompt's last token is left to compute, as it yields the logits.
        """
        chunk, kept = self.runtime.chunk, self._kept[sequence]
        shared = 0
        while shared + chunk <= min(len(kept), len(tokens) - 1):
            if kept[shared : shared + chunk] != list(tokens[shared : shared + chunk]):
                break
            shared += chunk
        self.rewind(shared, sequence)
        return shared

    def read(self, tokens: Sequence[int], sequence: int = 0) -> Row:
        """Compute a prompt from its start and give the logits after its last token."""
        if not tokens:
            raise InputError("an empty prompt cannot be scored")
        position = self.resume(tokens, sequence)
        while position < len(tokens):
            row = self.read_chunk(tokens, sequence)
            position = self.length(sequence)
        return row

    def read_chunk(self, tokens: Sequence[int], sequence: int = 0) -> Row:
        """Compute a prompt's next chunk; the logits after it, which matter for the last chunk only."""
        start = self._lengths[sequence]
        part = list(tokens[start : start + self.runtime.chunk])
        row: Row = self.feed(part, sequence, rows=1)[0]
        self._kept[sequence] += part
        return row

    def feed(self, tokens: Sequence[int], sequence: int = 0, *, rows: int | None = None) -> Row:
        """Continue a conversation by up to `chunk` tokens; the logits after each of the last `rows` of them (all)."""
        count = len(tokens)
        wanted = count if rows is None else rows
        start = self._lengths[sequence]
        if start + count > self.context:
            raise InputError(f"{start + count} tokens are too many: {self.context} are reserved for a conversation")
        self._batch.fill(tokens, start, sequence, wanted)
        self._decode()
        self._lengths[sequence] = start + count
        logits = self._library.llama_get_logits(self._context)
        values: Row = np.ctypeslib.as_array(logits, shape=(wanted, self.vocabulary_size)).copy()
        return values

    def feed_each(self, tokens: Mapping[int, int]) -> dict[int, Row]:
        """Continue several conversations by one token each in one go; the logits after it, by conversation.

        Quicker than one after the other, as the weights are read once; logits differ in their last digits with who else
        is in it, so what must repeat keeps the same company.
        """
        for sequence in tokens:
            if self._lengths[sequence] >= self.context:
                raise InputError(f"a conversation is full: {self.context} tokens are reserved for it")
        self._batch.fill_each(tokens, self._lengths)
        self._decode()
        logits = self._library.llama_get_logits(self._context)
        values: Row = np.ctypeslib.as_array(logits, shape=(len(tokens), self.vocabulary_size)).copy()
        for sequence in tokens:
            self._lengths[sequence] += 1
        return {sequence: values[place] for place, sequence in enumerate(tokens)}

    def rewind(self, length: int, sequence: int = 0) -> None:
        """Forget a conversation's tokens from `length` on."""
        memory = self._library.llama_get_memory(self._context)
        self._library.llama_memory_seq_rm(memory, sequence, length, -1)
        self._lengths[sequence] = length
        del self._kept[sequence][length:]

    def close(self) -> None:
        """Free everything; the session cannot be used afterwards."""
        self._finalizer()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _decode(self) -> None:
        code = self._library.llama_decode(self._context, self._batch.struct)
        if code != 0:
            raise GGUFError(f"llama.cpp stopped with code {code}: {last_words() or 'no reason given'}")

    def _added_tokens(self) -> Iterator[tuple[int, AddedToken]]:
        """By id what llama.cpp looks for in a text before it looks for words."""
        library = self._library
        special = library.LLAMA_TOKEN_ATTR_UNKNOWN | library.LLAMA_TOKEN_ATTR_CONTROL
        added = special | library.LLAMA_TOKEN_ATTR_USER_DEFINED
        for token in range(self.vocabulary_size):
            kind = library.llama_vocab_get_attr(self._vocab, token)
            if kind & added:
                text = library.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace")
                yield token, AddedToken(text, bool(kind & special))

    def _load(self, path: Path) -> Any:
        parameters = self._library.llama_model_default_params()
        model = self._library.llama_model_load_from_file(str(path).encode(), parameters)
        if not model:
            raise GGUFError(f"llama.cpp cannot load {path.name}: {last_words() or 'no reason given'}")
        return model

    def _load_adapter(self, form: ServedForm) -> Any:
        if form.kind != "adapter":
            return None
        if form.adapter_path is None or not Path(form.adapter_path).is_file():
            raise GGUFError(f"the adapter {form.adapter_path} is missing")
        adapter = self._library.llama_adapter_lora_init(self._model, form.adapter_path.encode())
        if not adapter:
            raise GGUFError(f"llama.cpp cannot load the adapter {form.adapter_path}: {last_words()}")
        return adapter

    def _new_context(self, context: int) -> Any:
        parameters = self._library.llama_context_default_params()
        parameters.n_ctx = context * self.sequences
        parameters.n_seq_max = self.sequences
        parameters.kv_unified = False
        parameters.n_batch = parameters.n_ubatch = self.runtime.chunk
        parameters.n_threads = parameters.n_threads_batch = self.runtime.threads
        parameters.type_k = parameters.type_v = _KV_TYPES[self.runtime.kv_type]
        parameters.flash_attn_type = int(self.runtime.flash_attention)
        parameters.no_perf = True
        handle = self._library.llama_init_from_model(self._model, parameters)
        if not handle:
            raise GGUFError(f"no memory for {self.sequences} x {context} tokens: {last_words()}")
        if self._adapter is not None:
            adapters = (self._library.llama_adapter_lora_p_ctypes * 1)(self._adapter)
            self._library.llama_set_adapters_lora(handle, adapters, 1, (ctypes.c_float * 1)(self._scale))
        return handle


class _Native:
    """What llama.cpp allocated for a session, freed once, at close or when the session is forgotten."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self.model: Any = None
        self.adapter: Any = None
        self.context: Any = None

    def free(self) -> None:
        self.free_context()
        if self.adapter is not None:
            self._library.llama_adapter_lora_free(self.adapter)
        if self.model is not None:
            self._library.llama_model_free(self.model)
        self.model = self.adapter = None

    def free_context(self) -> None:
        if self.context is not None:
            self._library.llama_free(self.context)
        self.context = None


class _Batch:
    """llama.cpp's `llama_batch` over numpy arrays, filled by slices instead of a Python loop per token."""

    def __init__(self, library: Any, size: int) -> None:
        self._tokens, self._positions, self._sequences = (np.zeros(size, np.int32) for _ in range(3))
        self._counts, self._wanted = np.ones(size, np.int32), np.zeros(size, np.int8)
        number = ctypes.POINTER(ctypes.c_int32)
        first = self._sequences.ctypes.data
        self._pointers = (number * size)(*(ctypes.cast(first + 4 * index, number) for index in range(size)))
        self.struct = library.llama_batch(
            0,
            self._tokens.ctypes.data_as(number),
            None,
            self._positions.ctypes.data_as(number),
            self._counts.ctypes.data_as(number),
            ctypes.cast(self._pointers, ctypes.POINTER(number)),
            self._wanted.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def fill(self, tokens: Sequence[int], start: int, sequence: int, rows: int) -> None:
        count = len(tokens)
        self._tokens[:count] = tokens
        self._positions[:count] = np.arange(start, start + count)
        self._sequences[:count] = sequence
        self._wanted[:count] = 0
        self._wanted[count - rows : count] = 1
        self.struct.n_tokens = count

    def fill_each(self, tokens: Mapping[int, int], lengths: Sequence[int]) -> None:
        """One token for each of several sequences, all of which yield logits."""
        count = len(tokens)
        self._tokens[:count] = list(tokens.values())
        self._positions[:count] = [lengths[sequence] for sequence in tokens]
        self._sequences[:count] = list(tokens)
        self._wanted[:count] = 1
        self.struct.n_tokens = count
