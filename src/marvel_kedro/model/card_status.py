"""The status in model cards, which follows the registry after the training that wrote the card."""

import logging
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from marvel_kedro.core.atomic_files import AtomicFile
from marvel_kedro.model.aliases import DECISION_TAG, PROMOTED_TAG, aliases_by_version

logger = logging.getLogger(__name__)

CARDS = ("model_card.md", "model_card.html")
_TAG = "card_status"
"""The tag of a version with the status in its card, so that only changed cards are written."""

_PARAGRAPHS = (r"\A(# .*\n\n).*", r"(</h1>\n)<p>.*</p>")
"""The first paragraph of a card in Markdown and as a page."""
_OF_VERSION = r"^\| Version \| {} \|$"


@dataclass(frozen=True)
class RegisteredVersion:
    """Facts of the registry about a version."""

    number: str
    aliases: frozenset[str]
    tags: Mapping[str, str]


def status(version: RegisteredVersion, champion: RegisteredVersion | None) -> str:
    """Describe the role of a version, and the decision that gave it, as one line of Markdown."""
    name, promoted = f"Version {version.number}", version.tags.get(PROMOTED_TAG)
    was_promoted = f"{name} was promoted on {promoted}"
    if decision := version.tags.get(DECISION_TAG):
        was_promoted += f" by {' '.join(decision.split()).removesuffix('.')}"
    if "champion" in version.aliases:
        return f"**Champion.** {was_promoted if promoted else f'{name} got that alias by hand'}."
    now = "no version is the champion"
    if champion:
        now = f"version {champion.number} is the champion"
        since = champion.tags.get(PROMOTED_TAG, "")
        if since > (promoted or ""):  # not after an alias that was moved back without this project
            now += f" since {since}"
    if "challenger" in version.aliases:
        return f"**Challenger.** {name} is tested against the champion; {now}."
    if promoted:
        return f"**Retired.** {was_promoted}; {now}."
    return f"**Not in use.** {name} is neither champion nor challenger; {now}."


def read_versions(name: str) -> list[RegisteredVersion]:
    """Read the versions of a registered model, if it exists."""
    client = MlflowClient()
    found = []
    for number, aliases in aliases_by_version(name).items():
        # One by one: not every registry's search returns the tags.
        version = client.get_model_version(name, number)
        found.append(RegisteredVersion(number, frozenset(aliases), version.tags))
    return found


def statuses(versions: Sequence[RegisteredVersion]) -> dict[str, str]:
    """Describe the role of each version."""
    champion = next((each for each in versions if "champion" in each.aliases), None)
    return {each.number: status(each, champion) for each in versions}


def update_cards(name: str, versions: Mapping[str, str], folder: Path | None = None) -> None:
    """Write the statuses of versions into their cards.

    Cards are artefacts of the runs that registered the versions. `folder` may have the card of the
    newest training, which is updated as well. A card that cannot be written is a warning: it must
    not fail what moves an alias or measures traffic.
    """
    client = MlflowClient()
    for number, text in versions.items():
        try:
            if folder is not None:
                _update_files(folder, number, text)
            version = client.get_model_version(name, number)
            current = version.tags.get(_TAG) == text
            if not current and version.run_id and _update_artefacts(client, version.run_id, text):
                client.set_model_version_tag(name, number, _TAG, text)
        except (MlflowException, OSError) as error:
            reason = type(error).__name__
            logger.warning("The card of version %s was not updated: %s", number, reason)


def _update_artefacts(client: MlflowClient, run_id: str, text: str) -> bool:
    """Update the cards of a run; return whether it has some."""
    present = {file.path for file in client.list_artifacts(run_id)} & {*CARDS}
    with tempfile.TemporaryDirectory() as folder:
        for card in sorted(present):
            path = Path(client.download_artifacts(run_id, card, folder))
            path.write_text(with_status(path.read_text("utf-8"), text), "utf-8")
            client.log_artifact(run_id, str(path))
    return bool(present)


def _update_files(folder: Path, number: str, text: str) -> None:
    """Update the cards in a folder if they are about a version."""
    markdown = folder / CARDS[0]
    if not markdown.exists():
        return
    if re.search(_OF_VERSION.format(number), markdown.read_text("utf-8"), re.MULTILINE):
        for path in (folder / card for card in CARDS):
            if path.exists():
                card = with_status(path.read_text("utf-8"), text)
                with AtomicFile(path, "w", encoding="utf-8") as file:
                    file.write(card)


def with_status(card: str, text: str) -> str:
    """Replace the first paragraph of a card, in Markdown or as a page."""
    page = MarkdownIt("commonmark", {"html": False}).render(text).strip()
    for pattern, new in zip(_PARAGRAPHS, (text, page), strict=True):
        card = re.sub(pattern, lambda found: found[1] + new, card, count=1)  # noqa: B023 - used here
    return card
