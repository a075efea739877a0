"""The Korean texts: one word for one thing, and none of the phrases that nobody says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "lookbook"
TEXTS = [
    ROOT / "README.ko.md",
    *sorted((ROOT / "docs").glob("*.ko.md")),
    ROOT / "notebooks" / "tutorial.ko.py",
    *sorted(SOURCE.glob("*/web/*.ko.json")),
    SOURCE / "reports" / "figure_style.py",
]
#: what must not be said → what is said instead
NOT_SAID = {
    r"파라미터": "매개변수",
    r"에폭": "에포크",
    r"학습\s?(?:데이터|시간|이미지)": "훈련",
    r"회색\s이미지": "흑백 이미지",
    r"(?<![가-힣])색 이미지": "컬러 이미지",
    r"(?<![가-힣])런(?:[은을이의과에]|으로)?(?![가-힣])": "실행 결과",
    r"\d\s%(?!%)": "80%, without a space",
    r"노트북에서": "노트북 컴퓨터에서",
    r"품습니다": "포함합니다",
    r"이 가운데\s없는 듯": "여기 없는 종류인 듯",
    r"견[준주줄]": "비교",
    r"씩 물으면": "씩 넣으면",
    r"드는 값입니다": "시간이 더 듭니다",
    r"되풀이할 뿐": "훈련하지 못하기 때문",
    r"하나 더 훈련하는": "따로 훈련하는",
    r"784개로 한 줄로": "784개짜리 한 줄로",
    r"운만|시드의 운": "우연",
    r"고른 것은 없습니다": "정한 것은 없습니다",
    r"같은 결과를 두 번": "결과 재현하기",
}


def prose(path: Path) -> str:
    """What is said in Korean, without what commands print."""
    text = re.sub(r"^```text\n.*?^```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return text if path.suffix != ".py" or "ko" in path.name else _korean_part(text)


def _korean_part(source: str) -> str:
    return source.partition('"ko": {')[2].partition("},")[0]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_each_thing_has_one_name_in_korean(path):
    said = prose(path)
    assert re.search("[가-힣]", said)
    for phrase, instead in NOT_SAID.items():
        found = re.search(f".*(?:{phrase}).*", said)
        assert found is None, f"{found.group()!r}: say {instead}"
