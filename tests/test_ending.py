"""What a run leaves that was refused before it began."""

import pytest
from omegaconf import OmegaConf

from ganlab.config import ConfigError
from ganlab.ending import refusals_kept
from ganlab.grid.records import collect
from ganlab.report.results import read_result, write_result


def refused(directory, text="no such thing"):
    @refusals_kept("train")
    def run(config):
        raise ConfigError(text)

    resume = {"run_dir": str(directory), "ckpt": f"{directory}/checkpoints/last.ckpt"}
    with pytest.raises(ConfigError, match=text):
        run(OmegaConf.create(resume))


def test_a_refused_run_leaves_a_result_that_a_table_can_name(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    refused(run)
    result = read_result(run)
    assert (result["status"], result["exit_code"], result["images_seen"]) == ("failed", 1, 0)
    assert result["error"] == "ConfigError: no such thing"
    (record,) = collect([run])
    assert record.fate == "failed (ConfigError: no such thing)"
    refused(run, "another thing")
    assert read_result(run)["error"] == "ConfigError: another thing"


def test_what_came_of_an_earlier_run_is_kept(tmp_path):
    for status, images in (("done", 64), ("failed", 32), ("interrupted", 0)):
        write_result(tmp_path, {"status": status, "images_seen": images})
        refused(tmp_path)
        assert read_result(tmp_path)["status"] == status
        assert "error" not in read_result(tmp_path)


def test_nothing_is_made_where_nothing_is(tmp_path):
    refused(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
