"""Where an option wants something written: what is in its place, or its folder's, is named."""

import pytest

from ganlab.checks.places import free_place


def test_what_is_missing_is_free(tmp_path):
    for place in (tmp_path / "a.pt", tmp_path / "new" / "folder" / "a.pt"):
        assert free_place(place, "out") == place
        assert free_place(place, "out", folder=True) == place
    assert free_place(tmp_path, "out", folder=True) == tmp_path
    (tmp_path / "a.pt").touch()
    assert free_place(tmp_path / "a.pt", "out") == tmp_path / "a.pt", "it is written over"
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_a_folder_in_a_files_place_and_a_file_in_a_folders_are_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=rf"out={tmp_path} is a folder: name a file in it"):
        free_place(tmp_path, "out")
    with pytest.raises(ValueError, match="into= is empty: name a folder"):
        free_place("", "into", folder=True)
    for place, folder in (("file/a.pt", False), ("file/deeper/a.pt", False), ("file", True)):
        with pytest.raises(ValueError, match=rf"out=.*: {tmp_path}/file is a file, and no folder"):
            free_place(tmp_path / place, "out", folder)
