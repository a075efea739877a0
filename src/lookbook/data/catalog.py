"""Built-in datasets: class names, sources, licences, hashes.

This is the only module that knows what the images of a dataset show.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from typing import Literal

Part = Literal["train", "test"]


@dataclass(frozen=True)
class Digest:
    """A published hash of one file."""

    algorithm: Literal["sha256", "md5"]
    value: str
    #: `content`: of what the file holds once decompressed; `file`: of the file as it is fetched
    of: Literal["content", "file"] = "content"


@dataclass(frozen=True)
class Archive:
    """One zip file that holds all the files of a dataset."""

    name: str
    digest: Digest
    #: folder inside the archive
    folder: str


@dataclass(frozen=True)
class PhotographKind:
    """What photographs of one kind show, in the classes of a dataset."""

    #: name of the kind, and of the folder that they lie in
    name: str
    #: any of these is right; none where they show none of the classes
    classes: tuple[str, ...] = ()
    #: kinds of one group are taken for each other without much harm
    group: str | None = None


@dataclass(frozen=True)
class Garments:
    """What classes of garments have, by which photographs of them are simulated."""

    #: may have long sleeves
    sleeved: tuple[int, ...]
    #: have legs; their upper part is shorts
    trousers: tuple[int, ...]
    #: their lower part is a skirt
    dresses: tuple[int, ...]
    #: come in pairs
    shoes: tuple[int, ...]
    #: their levels are those of hats, too
    plain: tuple[int, ...]


@dataclass(frozen=True)
class BuiltinDataset:
    """A published dataset: where it comes from and how it is verified.

    It is made of IDX `files`, or of `folders` of image files.
    """

    name: str
    title: str
    homepage: str
    licence: str
    classes: tuple[str, ...]
    #: (part, "images" or "labels") → file name
    files: dict[tuple[Part, str], str] = field(default_factory=dict)
    #: addresses of folders that hold the files (or the archive), tried in order
    mirrors: tuple[str, ...] = ()
    #: of image files, which nothing is downloaded of: part → hash of its folder, None where none is
    #: known: see `collection.hash_files`
    folders: dict[str, str | None] = field(default_factory=dict)
    #: file name → published hashes, each of which must agree; none where `archive` is verified
    digests: dict[str, tuple[Digest, ...]] = field(default_factory=dict)
    archive: Archive | None = None
    debian_package: str | None = None
    debian_folder: str | None = None
    #: label of the first class in the files
    first_label: int = 0
    #: images are stored column by column
    transposed: bool = False
    #: an image and its mirror image show the same: clothes do, digits and letters do not
    mirrors_well: bool = False
    #: test images that the figures show
    examples: tuple[int, ...] = ()
    #: who → published accuracy on the test part, to judge a result by
    references: dict[str, float] = field(default_factory=dict)
    #: kinds of photographs that its models are measured on
    photograph_kinds: tuple[PhotographKind, ...] = ()
    #: what its classes are, where photographs of them can be simulated
    garments: Garments | None = None


def _mnist_files(prefix: str = "", test: str = "t10k") -> dict[tuple[Part, str], str]:
    return {
        ("train", "images"): f"{prefix}train-images-idx3-ubyte.gz",
        ("train", "labels"): f"{prefix}train-labels-idx1-ubyte.gz",
        ("test", "images"): f"{prefix}{test}-images-idx3-ubyte.gz",
        ("test", "labels"): f"{prefix}{test}-labels-idx1-ubyte.gz",
    }


def _sha256_of_content(value: str) -> Digest:
    return Digest("sha256", value)


def _md5_of_file(value: str) -> Digest:
    return Digest("md5", value, of="file")


FASHION_MNIST = BuiltinDataset(
    name="fashion-mnist",
    title="Fashion-MNIST",
    mirrors_well=True,
    homepage="https://github.com/zalandoresearch/fashion-mnist",
    licence="MIT",
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    files=_mnist_files(),
    mirrors=(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
    ),
    digests={  # of the files in the publisher's repository, decompressed
        "train-images-idx3-ubyte.gz": (
            _sha256_of_content("c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
        ),
        "train-labels-idx1-ubyte.gz": (
            _sha256_of_content("bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
        ),
        "t10k-images-idx3-ubyte.gz": (
            _sha256_of_content("5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
        ),
        "t10k-labels-idx1-ubyte.gz": (
            _sha256_of_content("0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
        ),
    },
    debian_package="dataset-fashion-mnist",
    debian_folder="/usr/share/datasets/fashion-mnist",
    examples=(2000, 800),
    references={
        "people": 0.835,  # three labels by a crowd for each of 1,000 images: Xiao et al. (2017)
        "tutorial": 0.8863,
        "best": 0.9691,  # fine-tuned DARTS: Tanveer et al. (2020)
    },
    garments=Garments(
        sleeved=(0, 2, 4, 6), trousers=(1,), dresses=(3,), shoes=(5, 7, 9), plain=(0, 8)
    ),
    photograph_kinds=(  # of alexeygrigorev/clothing-dataset-small, CC0
        PhotographKind("t-shirt", ("T-shirt/top",), "upper body"),
        PhotographKind("pants", ("Trouser",), "trousers"),
        PhotographKind("longsleeve", ("Pullover",), "upper body"),
        PhotographKind("dress", ("Dress",), "dress"),
        PhotographKind("outwear", ("Coat",), "upper body"),
        PhotographKind("shirt", ("Shirt",), "upper body"),
        PhotographKind("shoes", ("Sandal", "Sneaker", "Ankle boot"), "shoes"),
        PhotographKind("hat"),
        PhotographKind("shorts"),
        PhotographKind("skirt"),
    ),
)

MNIST = BuiltinDataset(
    name="mnist",
    title="MNIST",
    homepage="http://yann.lecun.com/exdb/mnist/",
    licence="CC BY-SA 3.0",
    classes=tuple(string.digits),
    files=_mnist_files(),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    # of the decompressed files, as many projects publish them: the digits are recognised however
    # they are compressed, under Fashion-MNIST's file names, too
    digests={
        "train-images-idx3-ubyte.gz": (
            _sha256_of_content("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        ),
        "train-labels-idx1-ubyte.gz": (
            _sha256_of_content("65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        ),
        "t10k-images-idx3-ubyte.gz": (
            _sha256_of_content("0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        ),
        "t10k-labels-idx1-ubyte.gz": (
            _sha256_of_content("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        ),
    },
)

KMNIST = BuiltinDataset(
    name="kmnist",
    title="Kuzushiji-MNIST",
    homepage="https://github.com/rois-codh/kmnist",
    licence="CC BY-SA 4.0",
    classes=("お", "き", "す", "つ", "な", "は", "ま", "や", "れ", "を"),
    files=_mnist_files(),
    mirrors=("https://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    digests={  # as torchvision 0.20 publishes them for the publisher's files
        "train-images-idx3-ubyte.gz": (_md5_of_file("bdb82020997e1d708af4cf47b453dcf7"),),
        "train-labels-idx1-ubyte.gz": (_md5_of_file("e144d726b3acfaa3e44228e80efcd344"),),
        "t10k-images-idx3-ubyte.gz": (_md5_of_file("5c965bf0a639b31b8f53240b1b52f4d7"),),
        "t10k-labels-idx1-ubyte.gz": (_md5_of_file("7320c461ea6c1c855c0b718fb2a4b134"),),
    },
)


def _emnist(split: str, classes: str, first_label: int) -> BuiltinDataset:
    return BuiltinDataset(
        name=f"emnist-{split}",
        title=f"EMNIST {split}",
        homepage="https://www.nist.gov/itl/products-and-services/emnist-dataset",
        licence="public domain (United States government work)",
        classes=tuple(classes),
        files=_mnist_files(f"emnist-{split}-", test="test"),
        mirrors=("https://biometrics.nist.gov/cs_links/EMNIST/",),
        # as torchvision 0.20 publishes it for the publisher's archive
        archive=Archive("gzip.zip", _md5_of_file("58c8d27c78d21e728a6bc7b3cc06412e"), "gzip/"),
        first_label=first_label,
        transposed=True,
    )


EMNIST_LETTERS = _emnist("letters", string.ascii_uppercase, first_label=1)
# lower-case letters that look like their capitals are merged with them
EMNIST_BALANCED = _emnist(
    "balanced", string.digits + string.ascii_uppercase + "abdefghnqrt", first_label=0
)

CLOTHING = BuiltinDataset(
    name="clothing",
    title="Photographs of clothing",
    mirrors_well=True,
    homepage="https://github.com/alexeygrigorev/clothing-dataset-small",
    licence="CC0",
    classes=(
        *("dress", "hat", "longsleeve", "outwear", "pants"),
        *("shirt", "shoes", "shorts", "skirt", "t-shirt"),
    ),
    folders={
        "train": None,  # passed on in several sizes
        "validation": "09276b4e0aacd82c00a1201971ad99d42ccbd804c8c4bf0b8dca3366290ec471",
        "test": None,
    },
)

BUILTIN = {
    dataset.name: dataset
    for dataset in (FASHION_MNIST, MNIST, KMNIST, EMNIST_LETTERS, EMNIST_BALANCED, CLOTHING)
}
