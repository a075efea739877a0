"""Built-in datasets: whence they are fetched, and what they are verified by."""

from __future__ import annotations

from lookbook.data.catalog import BUILTIN


def test_built_in_datasets_are_fetched_over_https_and_verified():
    for dataset in BUILTIN.values():
        assert all(mirror.startswith("https://") for mirror in dataset.mirrors)
        assert all(mirror.endswith("/") for mirror in dataset.mirrors)
        digests = [d for name in dataset.files.values() for d in dataset.digests.get(name, ())]
        if dataset.folders:
            # image files are copied from a folder, and verified where a hash is published
            assert not dataset.files
            assert not dataset.mirrors
            assert len(dataset.folders["validation"]) == 64
        elif dataset.archive:
            digests.append(dataset.archive.digest)
        else:
            assert set(dataset.digests) == set(dataset.files.values())
        assert all(len(d.value) == {"sha256": 64, "md5": 32}[d.algorithm] for d in digests)
        assert len(set(dataset.classes)) == len(dataset.classes)
