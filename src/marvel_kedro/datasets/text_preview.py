"""A text file whose lines kedro-viz shows."""

from kedro_datasets._typing import TablePreview
from kedro_datasets.text import TextDataset

from marvel_kedro.datasets.base import table_preview


class PreviewedTextDataset(TextDataset):  # type: ignore[misc] # kedro-datasets loads it lazily
    """A text file; kedro-datasets' own type has no preview."""

    def preview(self, nrows: int = 60) -> TablePreview:
        """Return the first lines that are not empty, for kedro-viz."""
        lines = [[line] for line in self.load().splitlines() if line.strip()][:nrows]
        return table_preview(["text"], lines)
