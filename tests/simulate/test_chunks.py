from __future__ import annotations

from partigan.simulate.chunks import chunk_sizes, provenance


def test_provenance_is_the_job_with_structures_as_json_and_the_splits() -> None:
    found = provenance({"kind": "jets", "n": 10, "settings": ["a", "b"]}, 10)
    assert found == {
        "kind": "jets",
        "n": 10,
        "settings": '["a", "b"]',
        "split_train": (0, 7),
        "split_valid": (7, 8),
        "split_test": (8, 10),
    }


def test_chunks_hold_all_samples() -> None:
    assert chunk_sizes(4, 2) == [2, 2]
    assert chunk_sizes(1, 20) == [1]
