"""What a runtime's README shows of its use."""

from pathlib import Path


def shown(readme: Path, language: str) -> str:
    """Return the code that a README says is compiled."""
    _, _, text = readme.read_text(encoding="utf-8").partition("<!-- compiled by the tests -->\n")
    start, found, rest = text.partition(f"```{language}\n")
    code, end, _ = rest.partition("\n```")
    assert found
    assert end
    assert not start.strip()
    return f"{code}\n"
