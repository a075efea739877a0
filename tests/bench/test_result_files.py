"""Files of results: what is not whole never takes the place of the whole, all are drawn again."""

from bench.harness import files


def test_results_of_a_part_never_take_the_place_of_the_whole():
    assert files.stem("scaling", whole=True, trial=False) == "scaling"
    assert files.stem("scaling", whole=False, trial=False) == "scaling-part"
    assert files.stem("scaling", whole=False, trial=True) == "scaling-trial-run"
    assert files.stem("scaling", whole=True, trial=True) == "scaling-trial-run"


def test_what_was_kept_is_gone_on_from_unless_the_data_or_the_machine_is_another(tmp_path):
    target = files.part_of("scaling", tmp_path / "zen", trial=False)
    head = {"data": "photographs", "machine": {"cores": 2}, "started": "now"}
    assert files.earlier(target, head) == []
    files.keep({"conditions": head, "measurements": [{"n": 1}]}, target)
    assert target == tmp_path / "zen" / "scaling-part.json"
    assert files.earlier(target, head | {"started": "later"}) == [{"n": 1}]
    assert files.earlier(target, head | {"data": "others"}) == []
    assert files.earlier(target, head | {"machine": {"cores": 4}}) == []


def test_all_results_of_a_benchmark_are_drawn_again_or_one_file(tmp_path, capsys):
    for name in ("zen/speed", "zen/budget", "xeon/speed"):
        path = tmp_path / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    drawn = []
    redraw = lambda path: drawn.append(path) or [path.with_suffix(".md")]  # noqa: E731
    assert files.redraw_only(tmp_path, "speed", redraw) == 0
    assert drawn == [tmp_path / "xeon" / "speed.json", tmp_path / "zen" / "speed.json"]
    assert files.redraw_only(tmp_path / "zen" / "budget.json", "speed", redraw) == 0
    assert drawn[2:] == [tmp_path / "zen" / "budget.json"]
    assert capsys.readouterr().out == "".join(
        f"wrote {path.with_suffix('.md')}\n" for path in drawn
    )
