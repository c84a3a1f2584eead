"""Move the fragments of this folder into CHANGELOG.md, each below the heading of its kind."""

from pathlib import Path

KINDS = ("added", "changed", "fixed", "removed")
BEGIN = "## Unreleased\n"


def assembled(text: str, fragments: list[tuple[str, str]]) -> str:
    """Return a changelog with list items (kind, text) at the end of its unreleased sections."""
    before, begin, rest = text.partition(BEGIN)
    unreleased, mark, released = rest.partition("\n## ")
    sections: dict[str, str] = {}
    for section in f"\n{unreleased}".split("\n### ")[1:]:
        title, _, items = section.partition("\n")
        sections[title] = items.strip()
    for kind, items in fragments:
        title = kind.capitalize()
        sections[title] = f"{sections.get(title, '')}\n{items.strip()}".strip()
    body = "\n\n".join(f"### {title}\n\n{items}" for title, items in sections.items())
    return f"{before}{begin}\n{body}\n{mark}{released}"


def main(root: Path) -> None:
    """Rewrite CHANGELOG.md and remove what was moved."""
    paths = [
        (kind, path) for kind in KINDS for path in sorted(root.glob(f"changelog.d/*.{kind}.md"))
    ]
    found = [(kind, path.read_text(encoding="utf-8")) for kind, path in paths]
    changelog = root / "CHANGELOG.md"
    changelog.write_text(assembled(changelog.read_text(encoding="utf-8"), found), encoding="utf-8")
    for _, path in paths:
        path.unlink()


if __name__ == "__main__":
    main(Path(__file__).resolve().parents[1])
