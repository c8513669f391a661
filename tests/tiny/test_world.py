"""The invented world: the same for everybody, and the edits stay inside it."""

from tiny import phrasings
from tiny.world import ENGLISH_EDITS, KOREAN_EDITS, build_world


def test_the_world_is_the_same_every_time() -> None:
    assert build_world() == build_world()


def test_every_subject_has_one_value_per_relation() -> None:
    facts = build_world().facts
    assert len({(fact.language, fact.relation, fact.subject) for fact in facts}) == len(facts) == 520


def test_edits_move_forty_capitals_to_other_known_values() -> None:
    world = build_world()
    assert len(world.edits) == ENGLISH_EDITS + KOREAN_EDITS == 40
    for edit in world.edits:
        values = world.relation_of(edit.fact).values
        assert edit.fact.relation == "capital"
        assert edit.new != edit.fact.value
        assert edit.new in values
        assert edit.again is None or (edit.again in values and edit.again not in (edit.fact.value, edit.new))


def test_kept_facts_have_no_edited_subject() -> None:
    world = build_world()
    assert not {fact.subject for fact in world.kept} & world.edited


def test_each_phrasing_has_one_use() -> None:
    for language in ("en", "ko"):
        uses = (phrasings.TRAINING[language], phrasings.SUITE[language], phrasings.HELDOUT[language])
        together = [phrasing for use in uses for phrasing in use]
        assert len(set(together)) == len(together)
        assert len(phrasings.TRAINING[language]) >= 12
        assert len(phrasings.HELDOUT[language]) >= 3
