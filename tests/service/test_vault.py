"""The vault: what is sealed stays sealed, and a wrong master key is noticed at once."""

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ArtifactError, InputError
from service.settings import Settings
from service.store.session import Store
from service.store.tables import new_id, new_ids
from service.vault import PersonKey, Vault, open_vault

VAULT = Vault(b"k" * 32)


@given(st.binary(max_size=2_000), st.text(st.characters(codec="utf-8"), max_size=50))
def test_what_is_sealed_opens_at_its_place_only(plain: bytes, place: str) -> None:
    key, _ = VAULT.new_person_key("p")
    sealed = key.seal(plain, place)
    assert key.unseal(sealed, place) == plain
    with pytest.raises(ArtifactError):
        key.unseal(sealed, place + "x")


def test_equal_texts_do_not_look_equal() -> None:
    key, _ = VAULT.new_person_key("p")
    assert key.seal(b"same", "a") != key.seal(b"same", "a")


@pytest.mark.parametrize("damage", [lambda s: s[:-1], lambda s: s[:5], lambda s: b"", lambda s: s[:20] + b"x" + s[21:]])
def test_damaged_text_does_not_open(damage: object) -> None:
    key, _ = VAULT.new_person_key("p")
    with pytest.raises(ArtifactError):
        key.unseal(damage(key.seal(b"a long enough text", "a")), "a")  # type: ignore[operator]


def test_a_wrapped_key_opens_for_its_person_and_master_only() -> None:
    key, wrapped = VAULT.new_person_key("p")
    assert VAULT.open_person_key("p", wrapped).raw == key.raw
    for vault, person in ((VAULT, "q"), (Vault(b"x" * 32), "p")):
        with pytest.raises(ArtifactError):
            vault.open_person_key(person, wrapped)


def test_hashes_depend_on_purpose_app_and_master() -> None:
    found = {VAULT.person_hash("a", "x"), VAULT.message_hash("a", "x"), VAULT.conversation_hash("a", "x")}
    found |= {VAULT.person_hash("b", "x"), VAULT.person_hash("a", "y"), Vault(b"x" * 32).person_hash("a", "x")}
    found |= {VAULT.person_hash("ax", ""), VAULT.person_hash("", "ax")}
    assert len(found) == 8


def test_many_at_once_are_as_one_by_one() -> None:
    vault, key = VAULT, PersonKey(bytes(32))
    names = ["m-1", "", "안녕", "m-1"]
    assert vault.message_hashes("app", names) == [vault.message_hash("app", name) for name in names]
    places = [f"message:{number}" for number in range(3)]
    sealed = key.seal_all([b"one", b"", b"one"], places)
    assert [key.unseal(one, place) for one, place in zip(sealed, places, strict=True)] == [b"one", b"", b"one"]
    assert len({one[:12] for one in sealed}) == 3
    ids = new_ids(1_000)
    assert len(set(ids)) == 1_000 and {len(id) for id in ids} == {len(new_id())}


def test_parts_are_permanent_and_of_the_sizes_that_were_promised() -> None:
    parts = [VAULT.part_of(str(number)) for number in range(20_000)]
    assert parts == [Vault(b"k" * 32).part_of(str(number)) for number in range(20_000)]
    shares = [parts.count(part) / len(parts) for part in ("train", "dev", "heldout")]  # type: ignore[arg-type]
    assert shares == pytest.approx([0.85, 0.05, 0.10], abs=0.01)


def test_the_first_start_makes_a_key_file_that_only_its_owner_reads(settings: Settings, store: Store) -> None:
    first = open_vault(settings, store)
    file = settings.keys / "master.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and len(file.read_bytes()) == 32
    assert open_vault(settings, store).person_hash("a", "u") == first.person_hash("a", "u")


def test_another_master_key_is_refused_with_one_sentence(settings: Settings, store: Store) -> None:
    open_vault(settings, store)
    with pytest.raises(InputError, match="not the one this database was made with"):
        open_vault(replace(settings, master_key="ab" * 32), store)


def test_a_lost_master_key_is_not_silently_replaced(settings: Settings, store: Store) -> None:
    open_vault(settings, store)
    (settings.keys / "master.key").unlink()
    with pytest.raises(InputError, match="put it back"):
        open_vault(settings, store)
    assert not (settings.keys / "master.key").exists()


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("00" * 32, True),
        (base64.b64encode(bytes(range(32))).decode(), True),
        (base64.urlsafe_b64encode(b"\xff" * 32).decode().rstrip("="), True),
        ("00" * 31, False),
        ("zz" * 32, False),
        ("password", False),
        ("", False),
    ],
    ids=["hex", "base64", "url-safe, no padding", "31 bytes", "64 letters", "a word", "empty"],
)
def test_the_master_key_of_the_environment(settings: Settings, store: Store, text: str, good: bool) -> None:
    with_key = replace(settings, master_key=text)
    if good:
        open_vault(with_key, store)
        assert not (settings.keys / "master.key").exists()
    else:
        with pytest.raises(InputError, match="PERENNIAL_MASTER_KEY"):
            open_vault(with_key, store)


def test_processes_that_start_together_agree_on_one_key(settings: Settings, store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        vaults = list(pool.map(lambda _: open_vault(settings, store), range(8)))
    assert len({vault.person_hash("a", "u") for vault in vaults}) == 1
    assert {path.name for path in settings.keys.iterdir() if "people" not in path.name} == {"master.key"}
