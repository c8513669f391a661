"""What a round changed, in numbers: a candidate that is its origin over again passes every margin and learned nothing."""

from pipelines.records import Record


class Change(Record):
    """How a candidate differs from the origin, counted in its served file and in its adapter.

    Attributes:
        tensors, changed_tensors, blocks, changed_blocks: of the merged file; 0 where the adapter stands beside its base.
        modules: linear modules of the architecture; `targeted_modules` the recipe names, `moved_modules` have an effect
            other than 0. All 0 for a model that was trained whole.
    """

    tensors: int
    changed_tensors: int
    blocks: int
    changed_blocks: int
    modules: int
    targeted_modules: int
    moved_modules: int

    @property
    def unchanged(self) -> bool:
        """Whether the candidate is the model it was trained from over again."""
        return (self.blocks > 0 and not self.changed_blocks) or (self.targeted_modules > 0 and not self.moved_modules)

    @property
    def sentence(self) -> str:
        """The counts in words."""
        said = []
        if self.blocks:
            share = 100 * self.changed_blocks / self.blocks
            said.append(
                f"{self.changed_blocks:,} of {self.blocks:,} blocks ({share:.3g} %) in {self.changed_tensors} of "
                f"{self.tensors} tensors differ from the origin's file"
            )
        if self.targeted_modules:
            said.append(
                f"the adapter moves {self.moved_modules} of the {self.targeted_modules} modules that the recipe names "
                f"({self.modules} in the model)"
            )
        return "; ".join(said)
